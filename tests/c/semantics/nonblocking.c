/* Handles: explicit, implicit, aggregate. */
#include "check.h"

enum { MANY = 1000 };

static void many_under_way(void)
{
    void **parts = shared(64L * MANY);
    char *source = malloc(64 * MANY), *back = malloc(64 * MANY);
    armci_hdl_t *handles = malloc(MANY * sizeof *handles);
    fill(source, 64 * MANY, rank, 1);
    for (int i = 0; i < MANY; i++) {
        ARMCI_INIT_HANDLE(&handles[i]);
        CHECK(ARMCI_NbPut(source + 64 * i, at(parts, NEXT, 64L * i), 64, NEXT, &handles[i]) == 0,
              "put %d", i);
    }
    for (int i = MANY - 1; i >= 0; i--)
        CHECK(ARMCI_Wait(&handles[i]) == 0, "put %d", i);
    for (int i = 0; i < MANY; i++)
        CHECK(ARMCI_NbGet(at(parts, NEXT, 64L * i), back + 64 * i, 64, NEXT, &handles[i]) == 0,
              "get %d", i);
    for (int i = 0; i < MANY; i++)
        CHECK(ARMCI_Wait(&handles[i]) == 0, "get %d", i);
    CHECK(wrong(back, 64 * MANY, rank, 1) == 0, "there and back");
    ARMCI_Barrier();
    CHECK(wrong(parts[rank], 64 * MANY, PREVIOUS, 1) == 0, "from %d", PREVIOUS);
    free(handles);
    free(back);
    free(source);
    release(parts);
}

static void tests_do_not_wait(void)
{
    void **parts = shared(1 << 20);
    char *source = ARMCI_Malloc_local(1 << 20);
    armci_hdl_t handle;
    ARMCI_INIT_HANDLE(&handle);
    CHECK(ARMCI_Test(&handle) == 0, "nothing was started");
    CHECK(ARMCI_Wait(&handle) == 0, "nothing was started");
    for (int round = 0; round < 10; round++) {
        fill(source, 1 << 20, rank, round);
        CHECK(ARMCI_NbPut(source, parts[NEXT], 1 << 20, NEXT, &handle) == 0, "round %d", round);
        while (ARMCI_Test(&handle) != 0)
            ;
        CHECK(ARMCI_Wait(&handle) == 0, "round %d", round);
        CHECK(ARMCI_Test(&handle) == 0, "round %d", round);
    }
    ARMCI_Barrier();
    CHECK(wrong(parts[rank], 1 << 20, PREVIOUS, 9) == 0, "from %d", PREVIOUS);
    ARMCI_Free_local(source);
    release(parts);
}

static void implicit_handles(void)
{
    void **parts = shared(8L * MANY * size);
    long *values = malloc((size_t)size * MANY * sizeof *values),
         *back = malloc((size_t)size * MANY * sizeof *back);
    for (int proc = 0; proc < size; proc++)
        for (int i = 0; i < MANY; i++) {
            values[proc * MANY + i] = 1000000L * rank + i;
            char *target = at(parts, proc, 8L * (MANY * rank + i));
            CHECK(ARMCI_NbPut(&values[proc * MANY + i], target, sizeof *values, proc, NULL) == 0,
                  "to %d", proc);
        }
    for (int proc = 0; proc < size; proc++)
        CHECK(ARMCI_WaitProc(proc) == 0, "to %d", proc);
    ARMCI_Barrier();
    for (int proc = 0; proc < size; proc++)
        for (int i = 0; i < MANY; i++)
            CHECK(((long *)parts[rank])[MANY * proc + i] == 1000000L * proc + i, "from %d: %d",
                  proc, i);
    for (int proc = 0; proc < size; proc++)
        CHECK(ARMCI_NbGet(parts[proc], back + proc * MANY, 8 * MANY, proc, NULL) == 0, "from %d",
              proc);
    CHECK(ARMCI_WaitAll() == 0, "gets");
    for (int proc = 0; proc < size; proc++)
        for (int i = 0; i < MANY; i++)
            CHECK(back[proc * MANY + i] == i, "from %d: %d", proc, i);
    free(back);
    free(values);
    release(parts);
}

static void aggregate_handles(void)
{
    void **parts = shared(24L * MANY);
    long values[MANY], back[MANY];
    double ones[MANY], one = 1;
    armci_hdl_t puts, gets, accs;
    ARMCI_INIT_HANDLE(&puts);
    ARMCI_INIT_HANDLE(&gets);
    ARMCI_INIT_HANDLE(&accs);
    ARMCI_SET_AGGREGATE_HANDLE(&puts);
    ARMCI_SET_AGGREGATE_HANDLE(&gets);
    ARMCI_SET_AGGREGATE_HANDLE(&accs);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) {
            values[i] = 100000L * rank + 10L * i + round;
            ones[i] = i;
            CHECK(ARMCI_NbPut(&values[i], at(parts, NEXT, 8L * i), 8, NEXT, &puts) == 0, "put %d",
                  i);
            CHECK(ARMCI_NbAcc(ARMCI_ACC_DBL, &one, &ones[i], at(parts, NEXT, 8L * (MANY + i)), 8,
                              NEXT, &accs) == 0,
                  "acc %d", i);
        }
        CHECK(ARMCI_Wait(&puts) == 0 && ARMCI_Wait(&accs) == 0, "round %d", round);
        for (int i = 0; i < MANY; i++)
            CHECK(ARMCI_NbGet(at(parts, NEXT, 8L * i), &back[i], 8, NEXT, &gets) == 0, "get %d", i);
        CHECK(ARMCI_Wait(&gets) == 0, "round %d", round);
        CHECK(memcmp(values, back, sizeof back) == 0, "round %d", round);
    }
    ARMCI_UNSET_AGGREGATE_HANDLE(&puts);
    ARMCI_UNSET_AGGREGATE_HANDLE(&gets);
    ARMCI_UNSET_AGGREGATE_HANDLE(&accs);
    CHECK(ARMCI_NbPut(values, at(parts, NEXT, 16L * MANY), 80, NEXT, &puts) == 0 &&
              ARMCI_Wait(&puts) == 0,
          "no longer one");
    ARMCI_Barrier();
    for (int i = 0; i < MANY; i++) {
        CHECK(((long *)parts[rank])[i] == 100000L * PREVIOUS + 10L * i + 2, "put %d", i);
        CHECK(((double *)parts[rank])[MANY + i] == 3.0 * i, "acc %d", i);
    }
    release(parts);
}

static void one_handle_for_all_targets(void)
{
    void **parts = shared(8L * size);
    long values[64];
    armci_hdl_t handle;
    ARMCI_INIT_HANDLE(&handle);
    ARMCI_SET_AGGREGATE_HANDLE(&handle);
    for (int proc = 0; proc < size; proc++) {
        values[proc % 64] = 10 * rank + proc;
        CHECK(ARMCI_NbPut(&values[proc % 64], at(parts, proc, 8L * rank), 8, proc, &handle) == 0,
              "to %d", proc);
        if (proc % 64 == 63)
            ARMCI_Wait(&handle);
    }
    CHECK(ARMCI_Wait(&handle) == 0, "all");
    ARMCI_Barrier();
    for (int proc = 0; proc < size; proc++)
        CHECK(((long *)parts[rank])[proc] == 10 * proc + rank, "from %d", proc);
    release(parts);
}

static void wait_all_is_for_all(void)
{
    void **parts = shared(4096);
    char source[4096], back[4096];
    armci_hdl_t handle;
    ARMCI_INIT_HANDLE(&handle);
    fill(source, 4096, rank, 2);
    CHECK(ARMCI_NbPut(source, parts[NEXT], 4096, NEXT, &handle) == 0, "put");
    CHECK(ARMCI_WaitAll() == 0, "explicit ones too");
    CHECK(ARMCI_Test(&handle) == 0 && ARMCI_Wait(&handle) == 0, "it has ended");
    CHECK(ARMCI_NbGet(parts[NEXT], back, 4096, NEXT, &handle) == 0 && ARMCI_Wait(&handle) == 0,
          "get");
    CHECK(wrong(back, 4096, rank, 2) == 0, "there and back");
    release(parts);
}

static void fences_cover_them(void)
{
    void **parts = shared(8);
    for (long round = 0; round < 100; round++) {
        CHECK(ARMCI_NbPut(&round, parts[NEXT], sizeof round, NEXT, NULL) == 0, "round %ld", round);
        ARMCI_Fence(NEXT);
        long found = -1;
        CHECK(ARMCI_Get(parts[NEXT], &found, sizeof found, NEXT) == 0 && found == round,
              "round %ld: %ld", round, found);
        ARMCI_WaitAll();
    }
    release(parts);
}

static void wrong_arguments(void)
{
    void **parts = shared(64);
    char local[64] = {0};
    armci_hdl_t handle;
    ARMCI_INIT_HANDLE(&handle);
    CHECK(ARMCI_NbPut(NULL, parts[NEXT], 8, NEXT, &handle) != 0, "no source");
    CHECK(ARMCI_NbPut(local, parts[NEXT], -8, NEXT, &handle) != 0, "negative length");
    CHECK(ARMCI_NbPut(local, parts[NEXT], 8, size, &handle) != 0, "no such rank");
    CHECK(ARMCI_NbGet(parts[NEXT], NULL, 8, NEXT, NULL) != 0, "no target");
    CHECK(ARMCI_Wait(&handle) == 0, "a handle of which nothing was started");
    CHECK(ARMCI_Wait(NULL) != 0 && ARMCI_Test(NULL) != 0, "no handle");
    CHECK(ARMCI_WaitProc(-1) != 0 && ARMCI_WaitProc(size) != 0, "no such rank");
    if (size > 1)
        CHECK(ARMCI_NbPut(local, (void *)24, 8, NEXT, &handle) != 0, "outside");
    release(parts);
}

const test_case nonblocking_cases[] = {
    {"non-blocking: many under way", many_under_way},
    {"non-blocking: tests do not wait", tests_do_not_wait},
    {"non-blocking: implicit handles", implicit_handles},
    {"non-blocking: aggregate handles", aggregate_handles},
    {"non-blocking: one handle for all targets", one_handle_for_all_targets},
    {"non-blocking: wait_all is for all", wait_all_is_for_all},
    {"non-blocking: fences cover them", fences_cover_them},
    {"non-blocking: wrong arguments", wrong_arguments},
    {0},
};
