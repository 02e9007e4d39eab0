/* Put and get of one piece. */
#include "check.h"

static char in_data[70000];

/*
 * Puts from `source` to the next rank and gets it back to `back`, which begins `shift` bytes behind
 * an aligned place.
 */
static void there_and_back(void **parts, char *source, char *back, int bytes, int shift, int round)
{
    fill(source, bytes, rank, round);
    memset(back, 0, (size_t)bytes);
    CHECK(ARMCI_Put(source, at(parts, NEXT, shift), bytes, NEXT) == 0, "%d bytes, shift %d", bytes,
          shift);
    CHECK(ARMCI_Get(at(parts, NEXT, shift), back, bytes, NEXT) == 0, "%d bytes, shift %d", bytes,
          shift);
    CHECK(wrong(back, bytes, rank, round) == 0, "%d bytes, shift %d", bytes, shift);
    ARMCI_Barrier();
    CHECK(wrong(at(parts, rank, shift), bytes, PREVIOUS, round) == 0, "%d bytes, shift %d", bytes,
          shift);
    ARMCI_Barrier();
}

static void every_size(void)
{
    static const int sizes[] = {1,  2,  3,   4,    7,    8,    9,    15,    16,   17,
                                31, 64, 100, 1023, 4096, 8191, 8192, 65536, 65537};
    void **parts = shared(70000);
    char on_stack[70000], back[70000];
    char *on_heap = malloc(70000), *local = ARMCI_Malloc_local(70000);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        there_and_back(parts, on_stack, on_heap, sizes[i], 0, 1);
        there_and_back(parts, on_heap, back, sizes[i], 0, 2);
        there_and_back(parts, local, in_data, sizes[i], 0, 3);
        there_and_back(parts, in_data, local, sizes[i], 0, 4);
    }
    ARMCI_Free_local(local);
    free(on_heap);
    release(parts);
}

static void a_megabyte(void)
{
    enum { BYTES = 3 * 1024 * 1024 + 13 };
    void **parts = shared(BYTES);
    char *on_heap = malloc(BYTES), *back = malloc(BYTES);
    there_and_back(parts, on_heap, back, BYTES, 0, 5);
    free(on_heap);
    free(back);
    release(parts);
}

static void unaligned(void)
{
    void **parts = shared(256);
    char source[256], back[256];
    for (int from = 0; from < 9; from++)
        for (int to = 0; to < 9; to++)
            for (int bytes = 1; bytes < 40; bytes += 5)
                there_and_back(parts, source + from, back + (from + to) % 9, bytes, to, from + to);
    release(parts);
}

static void nothing(void)
{
    void **parts = shared(16);
    char local[16];
    memset(parts[rank], 5, 16);
    ARMCI_Barrier();
    memset(local, 6, sizeof local);
    CHECK(ARMCI_Put(local, parts[NEXT], 0, NEXT) == 0, "zero bytes");
    CHECK(ARMCI_Get(parts[NEXT], local, 0, NEXT) == 0, "zero bytes");
    CHECK(ARMCI_Put(local, at(parts, NEXT, 16), 0, NEXT) == 0, "zero bytes at the end");
    ARMCI_Barrier();
    CHECK(((char *)parts[rank])[0] == 5 && local[0] == 6, "nothing moved");
    release(parts);
}

static void around_is_left_alone(void)
{
    void **parts = shared(64);
    char local[64], back[64];
    memset(parts[rank], 1, 64);
    ARMCI_Barrier();
    memset(local, 2, sizeof local);
    CHECK(ARMCI_Put(local, at(parts, NEXT, 11), 23, NEXT) == 0, "to %d", NEXT);
    ARMCI_Barrier();
    for (int i = 0; i < 64; i++)
        CHECK(((char *)parts[rank])[i] == (i >= 11 && i < 34 ? 2 : 1), "byte %d", i);
    memset(back, 3, sizeof back);
    CHECK(ARMCI_Get(at(parts, NEXT, 11), back + 20, 23, NEXT) == 0, "from %d", NEXT);
    for (int i = 0; i < 64; i++)
        CHECK(back[i] == (i >= 20 && i < 43 ? 2 : 3), "byte %d", i);
    release(parts);
}

static void to_oneself(void)
{
    void **parts = shared(1000);
    char source[1000], target[1000];
    fill(source, 1000, rank, 6);
    CHECK(ARMCI_Put(source, parts[rank], 1000, rank) == 0, "to own part");
    CHECK(wrong(parts[rank], 1000, rank, 6) == 0, "is there at once");
    /* Any memory of one's own is good enough. */
    CHECK(ARMCI_Put(source, target, 1000, rank) == 0 && wrong(target, 1000, rank, 6) == 0,
          "to own stack");
    memset(target, 0, sizeof target);
    CHECK(ARMCI_Get(source, target, 1000, rank) == 0 && wrong(target, 1000, rank, 6) == 0,
          "from own stack");
    release(parts);
}

static void the_source_is_free_at_once(void)
{
    void **parts = shared(100 * 100);
    char source[100];
    for (int i = 0; i < 100; i++) {
        fill(source, 100, rank, i);
        CHECK(ARMCI_Put(source, at(parts, NEXT, 100L * i), 100, NEXT) == 0, "put %d", i);
        memset(source, 0xee, sizeof source);
    }
    ARMCI_Barrier();
    for (int i = 0; i < 100; i++)
        CHECK(wrong(at(parts, rank, 100L * i), 100, PREVIOUS, i) == 0, "put %d", i);
    release(parts);
}

static void order_is_kept(void)
{
    void **parts = shared(4096);
    char source[4096], back[4096];
    for (int round = 0; round < 50; round++) {
        fill(source, 4096, rank, round);
        CHECK(ARMCI_Put(source, parts[NEXT], 4096, NEXT) == 0, "round %d", round);
        CHECK(ARMCI_Get(parts[NEXT], back, 4096, NEXT) == 0 && wrong(back, 4096, rank, round) == 0,
              "round %d", round);
    }
    release(parts);
}

static void fences(void)
{
    void **parts = shared(8L * size);
    for (long i = 0; i < size; i++) {
        long value = 100 * rank + i;
        CHECK(ARMCI_Put(&value, at(parts, (int)i, 8L * rank), sizeof value, (int)i) == 0, "to %ld",
              i);
        ARMCI_Fence((int)i);
    }
    ARMCI_AllFence();
    armci_msg_barrier();
    for (int i = 0; i < size; i++)
        CHECK(((long *)parts[rank])[i] == 100 * i + rank, "from %d: %ld", i,
              ((long *)parts[rank])[i]);
    release(parts);
}

static void copies(void)
{
    char source[300], target[300];
    fill(source, 300, rank, 9);
    ARMCI_Copy(source, target, 300);
    CHECK(wrong(target, 300, rank, 9) == 0, "copied");
    ARMCI_Copy(source, source + 100, 200);
    CHECK(wrong(source + 100, 200, rank, 9) == 0, "overlapping");
    ARMCI_Copy(source, target, 0);
    ARMCI_Copy(NULL, NULL, 0);
}

static void wrong_arguments(void)
{
    void **parts = shared(128);
    char local[128], before[128];
    memset(local, 1, sizeof local);
    memset(parts[rank], 2, 128);
    memcpy(before, parts[rank], 128);
    ARMCI_Barrier();
    CHECK(ARMCI_Put(NULL, parts[NEXT], 8, NEXT) != 0, "no source");
    CHECK(ARMCI_Put(local, NULL, 8, NEXT) != 0, "no target");
    CHECK(ARMCI_Put(local, parts[NEXT], -1, NEXT) != 0, "negative length");
    CHECK(ARMCI_Put(local, parts[NEXT], 8, -1) != 0, "negative rank");
    CHECK(ARMCI_Put(local, parts[NEXT], 8, size) != 0, "no such rank");
    CHECK(ARMCI_Get(NULL, local, 8, NEXT) != 0, "no source");
    CHECK(ARMCI_Get(parts[NEXT], NULL, 8, NEXT) != 0, "no target");
    CHECK(ARMCI_Get(parts[NEXT], local, -1, NEXT) != 0, "negative length");
    CHECK(ARMCI_Get(parts[NEXT], local, 8, size + 100) != 0, "no such rank");
    if (size > 1) {
        CHECK(ARMCI_Put(local, (void *)8, 8, NEXT) != 0, "outside of all that was allocated");
        CHECK(ARMCI_Put(local, (void *)(uintptr_t)-8, 8, NEXT) != 0,
              "at the end of the address space");
        CHECK(ARMCI_Get((void *)8, local, 8, NEXT) != 0, "outside of all that was allocated");
        CHECK(ARMCI_Put(local, at(parts, NEXT, -1), 8, NEXT) != 0, "begins before");
        CHECK(ARMCI_Put(local, at(parts, NEXT, 0), 1 << 30, NEXT) != 0, "ends behind");
    }
    ARMCI_Barrier();
    CHECK(memcmp(before, parts[rank], 128) == 0, "nothing was moved");
    for (int i = 0; i < 128; i++)
        CHECK(local[i] == 1, "byte %d", i);
    release(parts);
}

static void all_to_all(void)
{
    enum { BYTES = 3000 };
    void **parts = shared((long)BYTES * size);
    char source[BYTES];
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < size; i++) {
            int proc = (rank + i) % size;
            fill(source, BYTES, rank, round + proc);
            CHECK(ARMCI_Put(source, at(parts, proc, (long)BYTES * rank), BYTES, proc) == 0, "to %d",
                  proc);
        }
        ARMCI_Barrier();
        for (int i = 0; i < size; i++)
            CHECK(wrong(at(parts, rank, (long)BYTES * i), BYTES, i, round + rank) == 0, "from %d",
                  i);
        ARMCI_Barrier();
    }
    release(parts);
}

const test_case contiguous_cases[] = {
    {"contiguous: every size", every_size},
    {"contiguous: megabytes", a_megabyte},
    {"contiguous: unaligned", unaligned},
    {"contiguous: nothing", nothing},
    {"contiguous: around is left alone", around_is_left_alone},
    {"contiguous: to oneself", to_oneself},
    {"contiguous: the source is free at once", the_source_is_free_at_once},
    {"contiguous: order is kept", order_is_kept},
    {"contiguous: fences", fences},
    {"contiguous: copies", copies},
    {"contiguous: wrong arguments", wrong_arguments},
    {"contiguous: all to all", all_to_all},
    {0},
};
