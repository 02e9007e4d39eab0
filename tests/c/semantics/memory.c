/* Allocation. */
#include "check.h"

#include <limits.h>

static void sizes_differ(void)
{
    void **parts = shared(1000L * rank);
    CHECK((parts[0] == NULL), "rank 0 asked for nothing and got %p", parts[0]);
    for (int proc = 1; proc < size; proc++)
        CHECK(parts[proc] != NULL, "rank %d", proc);
    if (rank > 0) {
        CHECK((uintptr_t)parts[rank] % 16 == 0, "own part is at %p", parts[rank]);
        fill(parts[rank], 1000L * rank, rank, 1);
    }
    ARMCI_Barrier();
    char *copy = malloc(1000L * size);
    for (int proc = 1; proc < size; proc++) {
        CHECK(ARMCI_Get(parts[proc], copy, 1000 * proc, proc) == 0, "rank %d", proc);
        CHECK(wrong(copy, 1000L * proc, proc, 1) == 0, "rank %d", proc);
    }
    free(copy);
    release(parts);
}

static void memory_is_zeroed(void)
{
    for (int round = 0; round < 3; round++) {
        void **parts = shared(4096);
        int nonzero = 0;
        for (int i = 0; i < 4096; i++)
            nonzero += ((char *)parts[rank])[i] != 0;
        CHECK(nonzero == 0, "%d bytes in round %d", nonzero, round);
        memset(parts[rank], 0xff, 4096);
        release(parts);
    }
}

static void much_is_taken_and_given_back(void)
{
    /* More in all than a rank has: what is freed comes back. */
    for (int round = 0; round < 200; round++)
        release(shared(2 << 20));
    for (int round = 0; round < 200; round++) {
        char *local = ARMCI_Malloc_local(2 << 20);
        CHECK(local != NULL, "round %d", round);
        if (local)
            local[0] = local[(2 << 20) - 1] = 1;
        CHECK(ARMCI_Free_local(local) == 0, "round %d", round);
    }
}

static void parts_do_not_overlap(void)
{
    enum { COUNT = 40 };
    void **parts[COUNT];
    for (int i = 0; i < COUNT; i++) {
        parts[i] = shared(100 + i);
        memset(parts[i][rank], i + 1, 100 + (size_t)i);
    }
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < 100 + i; j++)
            CHECK(((char *)parts[i][rank])[j] == i + 1, "allocation %d, byte %d", i, j);
    /* In another order than they came. */
    for (int i = 0; i < COUNT; i += 2)
        release(parts[i]);
    for (int i = COUNT - 1; i > 0; i -= 2)
        release(parts[i]);
}

static void too_much_is_refused(void)
{
    void **parts = calloc((size_t)size, sizeof *parts);
    /* One rank asks for too much: all are told. */
    for (int i = 0; i < size; i++)
        parts[i] = &size;
    CHECK(ARMCI_Malloc(parts, rank == size - 1 ? LONG_MAX / 2 : 64) != 0, "more than there can be");
    for (int i = 0; i < size; i++)
        CHECK(parts[i] == NULL, "rank %d: %p", i, parts[i]);
    CHECK(ARMCI_Malloc(parts, rank == 0 ? -1 : 64) != 0, "a negative size");
    CHECK(ARMCI_Malloc_local(LONG_MAX / 2) == NULL, "more than there can be");
    CHECK(ARMCI_Malloc_local(-1) == NULL, "a negative size");
    free(parts);
    release(shared(64));
}

static void wrong_frees_are_refused(void)
{
    int on_stack = 0;
    void **parts = shared(256);
    CHECK(ARMCI_Free(&on_stack) != 0, "not from ARMCI_Malloc");
    CHECK(ARMCI_Free((char *)parts[rank] + 8) != 0, "not the start");
    CHECK(ARMCI_Free_local(&on_stack) != 0, "not from ARMCI_Malloc_local");
    CHECK(ARMCI_Free(NULL) == 0 && ARMCI_Free_local(NULL) == 0, "nothing to free");
    void *own = parts[rank];
    release(parts);
    CHECK(ARMCI_Free(own) != 0, "freed already");
}

static void devices(void)
{
    void **parts = calloc((size_t)size, sizeof *parts);
    ARMCI_Group world;
    ARMCI_Group_get_world(&world);
    CHECK(ARMCI_Malloc_memdev(parts, 64, "dram") == 0, "with a device");
    int value = rank, found = -1;
    CHECK(ARMCI_Put(&value, parts[NEXT], sizeof value, NEXT) == 0, "to %d", NEXT);
    ARMCI_Barrier();
    memcpy(&found, parts[rank], sizeof found);
    CHECK(found == PREVIOUS, "found %d", found);
    CHECK(ARMCI_Free_memdev(parts[rank]) == 0, "own part");
    CHECK(ARMCI_Malloc_group_memdev(parts, 64, &world, "dram") == 0, "with a device");
    ARMCI_Barrier();
    CHECK(ARMCI_Free_group(parts[rank], &world) == 0, "own part");
    free(parts);
}

static void local_memory(void)
{
    char *a = ARMCI_Malloc_local(5000), *b = ARMCI_Malloc_local(5000);
    void **parts = shared(5000);
    CHECK(a && b && a != b, "%p, %p", (void *)a, (void *)b);
    fill(a, 5000, rank, 2);
    CHECK(ARMCI_Put(a, parts[NEXT], 5000, NEXT) == 0, "from local memory");
    ARMCI_Barrier();
    CHECK(ARMCI_Get(parts[rank], b, 5000, rank) == 0, "to local memory");
    CHECK(wrong(b, 5000, PREVIOUS, 2) == 0, "from %d", PREVIOUS);
    release(parts);
    CHECK(ARMCI_Free_local(a) == 0 && ARMCI_Free_local(b) == 0, "both");
}

static void one_rank_makes_memory(void)
{
    armci_meminfo_t info;
    memset(&info, 0, sizeof info);
    if (rank == 0) {
        ARMCI_Memget(3000, &info, 0);
        CHECK(info.size == 3000 && info.cpid == 0 && info.armci_addr, "%zu bytes of %d", info.size,
              info.cpid);
        memset(info.addr, 0, 3000);
    }
    armci_msg_brdcst(&info, sizeof info, 0);
    char *place = ARMCI_Memat(&info, 8 * rank);
    double value = 1.5 + rank, found = 0;
    CHECK(place == info.armci_addr + 8 * rank, "%p", (void *)place);
    CHECK(ARMCI_Put(&value, place, sizeof value, info.cpid) == 0, "into it");
    ARMCI_Barrier();
    if (rank == 0)
        for (int proc = 0; proc < size; proc++)
            CHECK(((double *)info.addr)[proc] == 1.5 + proc, "of rank %d", proc);
    place = ARMCI_Memat(&info, 8 * NEXT);
    CHECK(ARMCI_Get(place, &found, sizeof found, info.cpid) == 0 && found == 1.5 + NEXT, "found %f",
          found);
    CHECK(ARMCI_Memat(&info, 3001) == NULL && ARMCI_Memat(&info, -1) == NULL, "outside");
    ARMCI_Memdt(&info, 0);
    ARMCI_Barrier();
    ARMCI_Memctl(&info);
}

static void direct_access(void)
{
    void **parts = shared(64);
    ARMCI_Access_begin(parts[rank]);
    *(int *)parts[rank] = 7 * rank;
    ARMCI_Access_end(parts[rank]);
    ARMCI_Barrier();
    int found = -1;
    CHECK(ARMCI_Get(parts[NEXT], &found, sizeof found, NEXT) == 0 && found == 7 * NEXT, "found %d",
          found);
    release(parts);
}

const test_case memory_cases[] = {
    {"memory: sizes differ", sizes_differ},
    {"memory: zeroed", memory_is_zeroed},
    {"memory: taken and given back", much_is_taken_and_given_back},
    {"memory: parts do not overlap", parts_do_not_overlap},
    {"memory: too much is refused", too_much_is_refused},
    {"memory: wrong frees are refused", wrong_frees_are_refused},
    {"memory: devices", devices},
    {"memory: local memory", local_memory},
    {"memory: made by one rank", one_rank_makes_memory},
    {"memory: direct access", direct_access},
    {0},
};
