/* Accumulates: six types, three shapes, and what happens when all ranks do it at once. */
#include "check.h"

#include <complex.h>

enum { COUNT = 300 };

/* target = before(i) + scale * source(i), with small numbers: exact in every type. */
#define TRY_TYPE(name, type, optype, number, scale_value) \
    static void name(void) \
    { \
        void **parts = shared(COUNT * sizeof(type)); \
        type source[COUNT], scale = scale_value; \
        type *own = parts[rank]; \
        int near[] = {10 * sizeof(type)}, far[] = {20 * sizeof(type)}, \
            count[] = {10 * sizeof(type), 10}; \
        for (int i = 0; i < COUNT; i++) { \
            source[i] = number(i + 1 + rank); \
            own[i] = number(2 * i); \
        } \
        ARMCI_Barrier(); \
        CHECK(ARMCI_Acc(optype, &scale, source, parts[NEXT], sizeof source, NEXT) == 0, "to %d", \
              NEXT); \
        ARMCI_Barrier(); \
        for (int i = 0; i < COUNT; i++) { \
            type expected = number(2 * i) + scale * number(i + 1 + PREVIOUS); \
            CHECK(own[i] == expected, "element %d", i); \
        } \
        for (int i = 0; i < COUNT; i++) \
            own[i] = number(i); \
        ARMCI_Barrier(); \
        CHECK(ARMCI_AccS(optype, &scale, source, near, parts[NEXT], far, count, 1, NEXT) == 0, \
              "to %d", NEXT); \
        ARMCI_Barrier(); \
        for (int i = 0; i < COUNT; i++) { \
            type expected = number(i); \
            if (i < 200 && i % 20 < 10) \
                expected += scale * number(i / 20 * 10 + i % 20 + 1 + PREVIOUS); \
            CHECK(own[i] == expected, "strided, element %d", i); \
        } \
        ARMCI_Barrier(); \
        void *from[COUNT], *to[COUNT]; \
        for (int i = 0; i < COUNT; i++) { \
            own[i] = number(i); \
            from[i] = &source[i]; \
            to[i] = (type *)parts[NEXT] + (COUNT - 1 - i); \
        } \
        armci_giov_t set = {from, to, COUNT, sizeof(type)}; \
        ARMCI_Barrier(); \
        CHECK(ARMCI_AccV(optype, &scale, &set, 1, NEXT) == 0, "to %d", NEXT); \
        ARMCI_Barrier(); \
        for (int i = 0; i < COUNT; i++) { \
            type expected = number(i) + scale * number(COUNT - i + PREVIOUS); \
            CHECK(own[i] == expected, "vector, element %d", i); \
        } \
        ARMCI_Barrier(); \
        armci_hdl_t handle; \
        ARMCI_INIT_HANDLE(&handle); \
        for (int i = 0; i < COUNT; i++) \
            own[i] = number(0); \
        ARMCI_Barrier(); \
        CHECK(ARMCI_NbAcc(optype, &scale, source, parts[NEXT], sizeof source, NEXT, &handle) == 0, \
              "to %d", NEXT); \
        CHECK(ARMCI_NbAccS(optype, &scale, source, near, parts[NEXT], far, count, 1, NEXT, \
                           &handle) == 0, \
              "to %d", NEXT); \
        CHECK(ARMCI_NbAccV(optype, &scale, &set, 1, NEXT, NULL) == 0, "to %d", NEXT); \
        CHECK(ARMCI_Wait(&handle) == 0 && ARMCI_WaitAll() == 0, "to %d", NEXT); \
        ARMCI_Barrier(); \
        for (int i = 0; i < COUNT; i++) { \
            type expected = \
                scale * number(i + 1 + PREVIOUS) + scale * number(COUNT - i + PREVIOUS); \
            if (i < 200 && i % 20 < 10) \
                expected += scale * number(i / 20 * 10 + i % 20 + 1 + PREVIOUS); \
            CHECK(own[i] == expected, "non-blocking, element %d", i); \
        } \
        release(parts); \
    }

#define WHOLE(i) (i)
#define REAL(i) ((i) / 4.0)
#define REALF(i) ((float)(i) / 4)
#define BOTH(i) ((i) / 4.0 - (i) / 2.0 * I)
#define BOTHF(i) ((float)(i) / 4 - (float)(i) / 2 * I)

TRY_TYPE(type_int, int, ARMCI_ACC_INT, WHOLE, -3)
TRY_TYPE(type_long, long, ARMCI_ACC_LNG, (long)WHOLE, 1L << 33)
TRY_TYPE(type_float, float, ARMCI_ACC_FLT, REALF, 0.5F)
TRY_TYPE(type_double, double, ARMCI_ACC_DBL, REAL, -0.25)
TRY_TYPE(type_complex, float complex, ARMCI_ACC_CPL, BOTHF, 0.5F + 2 * I)
TRY_TYPE(type_double_complex, double complex, ARMCI_ACC_DCP, BOTH, -1 + 0.25 * I)

static void integers_wrap(void)
{
    void **parts = shared(16);
    int one = 1, most = 0x7fffffff;
    *(int *)parts[rank] = most;
    ARMCI_Barrier();
    CHECK(ARMCI_Acc(ARMCI_ACC_INT, &one, &one, parts[NEXT], sizeof one, NEXT) == 0, "to %d", NEXT);
    ARMCI_Barrier();
    CHECK(*(int *)parts[rank] == -most - 1, "%d", *(int *)parts[rank]);
    release(parts);
}

static void atomic_on_one_word(void)
{
    enum { TIMES = 2000 };
    void **parts = shared(16);
    long one = 1;
    double half = 0.5, two = 2;
    for (int i = 0; i < TIMES; i++) {
        CHECK(ARMCI_Acc(ARMCI_ACC_LNG, &one, &one, parts[0], sizeof one, 0) == 0, "%d", i);
        CHECK(ARMCI_Acc(ARMCI_ACC_DBL, &half, &two, at(parts, 0, 8), sizeof two, 0) == 0, "%d", i);
    }
    ARMCI_Barrier();
    if (rank == 0) {
        CHECK(*(long *)parts[0] == (long)TIMES * size, "%ld", *(long *)parts[0]);
        CHECK(*(double *)at(parts, 0, 8) == (double)TIMES * size, "%f", *(double *)at(parts, 0, 8));
    }
    release(parts);
}

/* Every rank adds to sections that overlap those of all others, on all ranks. */
static void atomic_where_sections_overlap(void)
{
    enum { SIDE = 24, BLOCK = 16, TIMES = 30 };
    void **parts = shared(SIDE * SIDE * sizeof(double));
    double block[BLOCK][BLOCK], one = 1;
    int near[] = {sizeof block[0]}, far[] = {SIDE * sizeof(double)},
        count[] = {sizeof block[0], BLOCK};
    for (int i = 0; i < BLOCK; i++)
        for (int j = 0; j < BLOCK; j++)
            block[i][j] = rank + 1;
    for (int time = 0; time < TIMES; time++)
        for (int i = 0; i < size; i++) {
            int proc = (rank + i) % size, corner = time % (SIDE - BLOCK + 1);
            double *target = (double *)parts[proc] + corner * SIDE + corner;
            CHECK(ARMCI_AccS(ARMCI_ACC_DBL, &one, block, near, target, far, count, 1, proc) == 0,
                  "to %d", proc);
        }
    ARMCI_Barrier();
    double total = size * (size + 1) / 2.0;
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            int times = 0;
            for (int time = 0; time < TIMES; time++) {
                int corner = time % (SIDE - BLOCK + 1);
                times += i >= corner && i < corner + BLOCK && j >= corner && j < corner + BLOCK;
            }
            CHECK(((double *)parts[rank])[i * SIDE + j] == times * total, "(%d,%d)", i, j);
        }
    release(parts);
}

/* The owner adds to its own memory as the others do. */
static void atomic_with_the_owner_and_rmw(void)
{
    enum { TIMES = 1000 };
    void **parts = shared(16);
    int one = 1;
    for (int i = 0; i < TIMES; i++)
        for (int proc = 0; proc < size; proc++) {
            int before;
            CHECK(ARMCI_Acc(ARMCI_ACC_INT, &one, &one, parts[proc], sizeof one, proc) == 0, "to %d",
                  proc);
            CHECK(ARMCI_Rmw(ARMCI_FETCH_AND_ADD, &before, parts[proc], 1, proc) == 0, "at %d",
                  proc);
        }
    ARMCI_Barrier();
    CHECK(*(int *)parts[rank] == 2 * TIMES * size, "%d", *(int *)parts[rank]);
    release(parts);
}

static void long_ones(void)
{
    enum { LONG = 200000 };
    void **parts = shared(LONG * sizeof(double));
    double *source = malloc(LONG * sizeof *source), one = 1;
    for (int i = 0; i < LONG; i++)
        source[i] = i + rank;
    for (int proc = 0; proc < size; proc++)
        CHECK(ARMCI_Acc(ARMCI_ACC_DBL, &one, source, parts[proc], LONG * sizeof *source, proc) == 0,
              "to %d", proc);
    ARMCI_Barrier();
    for (int i = 0; i < LONG; i++)
        CHECK(((double *)parts[rank])[i] == (double)size * i + size * (size - 1) / 2, "element %d",
              i);
    free(source);
    release(parts);
}

static void own_stack(void)
{
    double source[4] = {1, 2, 3, 4}, target[4] = {10, 20, 30, 40}, two = 2;
    CHECK(ARMCI_Acc(ARMCI_ACC_DBL, &two, source, target, sizeof source, rank) == 0,
          "any memory of one's own");
    for (int i = 0; i < 4; i++)
        CHECK(target[i] == 12 * (i + 1), "element %d: %f", i, target[i]);
}

static void unaligned(void)
{
    void **parts = shared(400);
    char bytes[88];
    double values[10], found[10], one = 1;
    int near[] = {8}, far[] = {31}, count[] = {8, 10};
    for (int i = 0; i < 10; i++)
        values[i] = i + rank;
    memcpy(bytes + 3, values, sizeof values);
    /* All ranks to rank 0. */
    for (int time = 0; time < 100; time++) {
        CHECK(ARMCI_Acc(ARMCI_ACC_DBL, &one, bytes + 3, at(parts, 0, 5), 80, 0) == 0,
              "any alignment");
        CHECK(ARMCI_AccS(ARMCI_ACC_DBL, &one, values, near, at(parts, 0, 100), far, count, 1, 0) ==
                  0,
              "odd strides");
    }
    ARMCI_Barrier();
    memcpy(found, at(parts, rank, 5), sizeof found);
    for (int i = 0; i < 10 && rank == 0; i++) {
        double expected = 100.0 * (size * i + size * (size - 1) / 2), strided;
        memcpy(&strided, at(parts, 0, 100 + 31L * i), sizeof strided);
        CHECK(found[i] == expected && strided == expected, "element %d: %f, %f", i, found[i],
              strided);
    }
    release(parts);
}

static void wrong_arguments(void)
{
    void **parts = shared(64);
    double value = 1, one = 1;
    char *next = parts[NEXT];
    CHECK(ARMCI_Acc(0, &one, &value, next, 8, NEXT) != 0, "no such type");
    CHECK(ARMCI_Acc(ARMCI_ACC_DBL, NULL, &value, next, 8, NEXT) != 0, "no scale");
    CHECK(ARMCI_Acc(ARMCI_ACC_DBL, &one, NULL, next, 8, NEXT) != 0, "no source");
    CHECK(ARMCI_Acc(ARMCI_ACC_DBL, &one, &value, NULL, 8, NEXT) != 0, "no target");
    CHECK(ARMCI_Acc(ARMCI_ACC_DBL, &one, &value, next, 7, NEXT) != 0, "not a whole element");
    CHECK(ARMCI_Acc(ARMCI_ACC_DBL, &one, &value, next, -8, NEXT) != 0, "negative length");
    CHECK(ARMCI_Acc(ARMCI_ACC_DBL, &one, &value, next, 8, size) != 0, "no such rank");
    CHECK(ARMCI_NbAcc(ARMCI_ACC_DBL, &one, &value, next, 7, NEXT, NULL) != 0,
          "not a whole element");
    CHECK(ARMCI_Acc(ARMCI_ACC_DBL, &one, &value, next, 0, NEXT) == 0, "nothing");
    ARMCI_Barrier();
    CHECK(*(double *)parts[rank] == 0, "nothing was added");
    release(parts);
}

const test_case accumulate_cases[] = {
    {"accumulate: int", type_int},
    {"accumulate: long", type_long},
    {"accumulate: float", type_float},
    {"accumulate: double", type_double},
    {"accumulate: complex", type_complex},
    {"accumulate: double complex", type_double_complex},
    {"accumulate: integers wrap", integers_wrap},
    {"accumulate: atomic on one word", atomic_on_one_word},
    {"accumulate: atomic where sections overlap", atomic_where_sections_overlap},
    {"accumulate: atomic with the owner and rmw", atomic_with_the_owner_and_rmw},
    {"accumulate: long ones", long_ones},
    {"accumulate: to own stack", own_stack},
    {"accumulate: unaligned", unaligned},
    {"accumulate: wrong arguments", wrong_arguments},
    {0},
};
