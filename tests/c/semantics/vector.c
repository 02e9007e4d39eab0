/* Lists of pieces. */
#include "check.h"

enum { PIECES = 37, SETS = 3 };

/* Three sets of pieces of 1, 13 and 64 bytes, at odd places. */
typedef struct {
    armci_giov_t sets[SETS];
    void *near[SETS][PIECES], *far[SETS][PIECES];
} pieces;

static const int LENGTHS[SETS] = {1, 13, 64};
enum { ROOM = SETS * PIECES * 80 };

static long place(int set, int piece)
{
    /* 7 and PIECES have no common divisor: another order than that of the addresses. */
    return 80L * (set * PIECES + piece * 7 % PIECES) + (set == 1);
}

static void make(pieces *p, char *near, char *far, int get)
{
    for (int set = 0; set < SETS; set++) {
        for (int i = 0; i < PIECES; i++) {
            p->near[set][i] = near + place(set, i);
            p->far[set][i] = far + place(set, (i + 3) % PIECES);
        }
        p->sets[set].src_ptr_array = get ? p->far[set] : p->near[set];
        p->sets[set].dst_ptr_array = get ? p->near[set] : p->far[set];
        p->sets[set].ptr_array_len = PIECES;
        p->sets[set].bytes = LENGTHS[set];
    }
}

static void check_pieces(const char *near, const char *far, const char *what)
{
    for (int set = 0; set < SETS; set++)
        for (int i = 0; i < PIECES; i++)
            CHECK(memcmp(near + place(set, i), far + place(set, (i + 3) % PIECES),
                         (size_t)LENGTHS[set]) == 0,
                  "%s: set %d, piece %d", what, set, i);
}

static void put_and_get(void)
{
    void **parts = shared(ROOM);
    char *source = malloc(ROOM), *back = malloc(ROOM), *expected = malloc(ROOM);
    pieces p;
    fill(source, ROOM, rank, 1);
    fill(expected, ROOM, PREVIOUS, 1);
    make(&p, source, parts[NEXT], 0);
    CHECK(ARMCI_PutV(p.sets, SETS, NEXT) == 0, "to %d", NEXT);
    ARMCI_Barrier();
    check_pieces(expected, parts[rank], "put");
    make(&p, back, parts[NEXT], 1);
    CHECK(ARMCI_GetV(p.sets, SETS, NEXT) == 0, "from %d", NEXT);
    for (int set = 0; set < SETS; set++)
        for (int i = 0; i < PIECES; i++)
            CHECK(memcmp(back + place(set, i), source + place(set, i), (size_t)LENGTHS[set]) == 0,
                  "set %d, piece %d", set, i);
    free(expected);
    free(back);
    free(source);
    release(parts);
}

static void non_blocking(void)
{
    void **parts = shared(ROOM);
    char *source = ARMCI_Malloc_local(ROOM), *back = malloc(ROOM), *expected = malloc(ROOM);
    pieces p;
    armci_hdl_t handle;
    ARMCI_INIT_HANDLE(&handle);
    fill(source, ROOM, rank, 2);
    fill(expected, ROOM, PREVIOUS, 2);
    make(&p, source, parts[NEXT], 0);
    CHECK(ARMCI_NbPutV(p.sets, SETS, NEXT, &handle) == 0, "to %d", NEXT);
    memset(&p, 0, sizeof p);
    CHECK(ARMCI_Wait(&handle) == 0, "to %d", NEXT);
    ARMCI_Barrier();
    check_pieces(expected, parts[rank], "put");
    make(&p, back, parts[NEXT], 1);
    CHECK(ARMCI_NbGetV(p.sets, SETS, NEXT, NULL) == 0, "from %d", NEXT);
    CHECK(ARMCI_WaitAll() == 0, "from %d", NEXT);
    for (int set = 0; set < SETS; set++)
        for (int i = 0; i < PIECES; i++)
            CHECK(memcmp(back + place(set, i), source + place(set, i), (size_t)LENGTHS[set]) == 0,
                  "set %d, piece %d", set, i);
    free(expected);
    free(back);
    ARMCI_Free_local(source);
    release(parts);
}

static void many_small_pieces(void)
{
    enum { MANY = 5000 };
    void **parts = shared(8L * MANY), **near = malloc(MANY * sizeof *near),
         **far = malloc(MANY * sizeof *far);
    long *values = malloc(MANY * sizeof *values);
    for (int i = 0; i < MANY; i++) {
        values[i] = 100000L * rank + i;
        near[i] = &values[i];
        far[i] = at(parts, NEXT, 8L * (MANY - 1 - i));
    }
    armci_giov_t set = {near, far, MANY, sizeof *values};
    CHECK(ARMCI_PutV(&set, 1, NEXT) == 0, "to %d", NEXT);
    ARMCI_Barrier();
    for (int i = 0; i < MANY; i++)
        CHECK(((long *)parts[rank])[MANY - 1 - i] == 100000L * PREVIOUS + i, "piece %d", i);
    free(values);
    free(far);
    free(near);
    release(parts);
}

static void nothing(void)
{
    void **parts = shared(16);
    char local[16] = {1};
    void *near = local, *far = parts[NEXT];
    armci_giov_t no_pieces = {&near, &far, 0, 8}, no_arrays = {NULL, NULL, 0, 8},
                 no_bytes = {&near, &far, 1, 0};
    CHECK(ARMCI_PutV(&no_pieces, 1, NEXT) == 0, "no pieces");
    CHECK(ARMCI_PutV(&no_arrays, 1, NEXT) == 0, "no pieces and no arrays");
    CHECK(ARMCI_PutV(&no_bytes, 1, NEXT) == 0, "pieces of nothing");
    CHECK(ARMCI_PutV(NULL, 0, NEXT) == 0, "no sets");
    CHECK(ARMCI_GetV(&no_pieces, 1, NEXT) == 0, "no pieces");
    ARMCI_Barrier();
    CHECK(((char *)parts[rank])[0] == 0, "nothing was moved");
    release(parts);
}

static void wrong_arguments(void)
{
    void **parts = shared(64);
    char local[64] = {1};
    double one = 1;
    void *near[] = {local, local + 8}, *far[] = {parts[NEXT], NULL},
         *good[] = {parts[NEXT], at(parts, NEXT, 8)};
    armci_giov_t set = {near, good, 2, 8}, bad;
    CHECK(ARMCI_PutV(NULL, 1, NEXT) != 0, "no sets");
    CHECK(ARMCI_PutV(&set, -1, NEXT) != 0, "negative number of sets");
    CHECK(ARMCI_PutV(&set, 1, size) != 0, "no such rank");
    CHECK(ARMCI_GetV(&set, 1, -1) != 0, "no such rank");
    bad = set, bad.ptr_array_len = -1;
    CHECK(ARMCI_PutV(&bad, 1, NEXT) != 0, "negative number of pieces");
    bad = set, bad.bytes = -8;
    CHECK(ARMCI_PutV(&bad, 1, NEXT) != 0, "negative length");
    bad = set, bad.src_ptr_array = NULL;
    CHECK(ARMCI_PutV(&bad, 1, NEXT) != 0, "no sources");
    bad = set, bad.dst_ptr_array = NULL;
    CHECK(ARMCI_PutV(&bad, 1, NEXT) != 0, "no targets");
    bad = set, bad.dst_ptr_array = far;
    CHECK(ARMCI_PutV(&bad, 1, NEXT) != 0, "a null target");
    CHECK(ARMCI_AccV(ARMCI_ACC_DBL, &one, &bad, 1, NEXT) != 0, "a null target");
    CHECK(ARMCI_AccV(0, &one, &set, 1, NEXT) != 0, "no such type");
    CHECK(ARMCI_NbPutV(&bad, 1, NEXT, NULL) != 0, "a null target");
    CHECK(ARMCI_NbGetV(NULL, 1, NEXT, NULL) != 0, "no sets");
    if (size > 1) {
        void *outside[] = {parts[NEXT], (void *)16};
        bad = set, bad.dst_ptr_array = outside;
        CHECK(ARMCI_PutV(&bad, 1, NEXT) != 0, "the second target is outside");
    }
    ARMCI_Barrier();
    CHECK(((char *)parts[rank])[0] == 0, "nothing was moved");
    release(parts);
}

const test_case vector_cases[] = {
    {"vector: put and get", put_and_get},
    {"vector: non-blocking", non_blocking},
    {"vector: many small pieces", many_small_pieces},
    {"vector: nothing", nothing},
    {"vector: wrong arguments", wrong_arguments},
    {0},
};
