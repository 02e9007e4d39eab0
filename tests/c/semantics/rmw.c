/* Fetch-and-add and swap. */
#include "check.h"

static void fetch_and_add(void)
{
    void **parts = shared(16);
    int found = -1;
    long found_long = -1;
    CHECK(ARMCI_Rmw(ARMCI_FETCH_AND_ADD, &found, parts[NEXT], 5, NEXT) == 0 && found == 0,
          "found %d", found);
    CHECK(ARMCI_Rmw(ARMCI_FETCH_AND_ADD, &found, parts[NEXT], -7, NEXT) == 0 && found == 5,
          "found %d", found);
    CHECK(ARMCI_Rmw(ARMCI_FETCH_AND_ADD, &found, parts[NEXT], 0, NEXT) == 0 && found == -2,
          "found %d", found);
    char *target = at(parts, NEXT, 8);
    CHECK(ARMCI_Rmw(ARMCI_FETCH_AND_ADD_LONG, &found_long, target, -5, NEXT) == 0 &&
              found_long == 0,
          "found %ld", found_long);
    CHECK(ARMCI_Rmw(ARMCI_FETCH_AND_ADD_LONG, &found_long, target, 1, NEXT) == 0 &&
              found_long == -5,
          "found %ld", found_long);
    ARMCI_Barrier();
    CHECK(*(int *)at(parts, rank, 0) == -2 && *(int *)at(parts, rank, 4) == 0,
          "its neighbour is left alone");
    CHECK(*(long *)at(parts, rank, 8) == -4, "%ld", *(long *)at(parts, rank, 8));
    release(parts);
}

static void swap(void)
{
    void **parts = shared(16);
    int value = 100 + rank;
    long value_long = (1L << 50) + rank;
    CHECK(ARMCI_Rmw(ARMCI_SWAP, &value, parts[NEXT], 0, NEXT) == 0 && value == 0, "found %d",
          value);
    CHECK(ARMCI_Rmw(ARMCI_SWAP, &value, parts[NEXT], 0, NEXT) == 0 && value == 100 + rank,
          "found %d", value);
    CHECK(ARMCI_Rmw(ARMCI_SWAP_LONG, &value_long, at(parts, NEXT, 8), 0, NEXT) == 0 &&
              value_long == 0,
          "found %ld", value_long);
    ARMCI_Barrier();
    CHECK(*(int *)parts[rank] == 0, "%d", *(int *)parts[rank]);
    CHECK(*(long *)at(parts, rank, 8) == (1L << 50) + PREVIOUS, "%ld", *(long *)at(parts, rank, 8));
    release(parts);
}

/* All ranks draw numbers at every rank: each is drawn once. */
static void every_number_once(void)
{
    enum { TIMES = 500 };
    void **counters = shared(16), **drawn = shared((long)TIMES * size);
    for (int proc = 0; proc < size; proc++)
        for (int i = 0; i < TIMES; i++) {
            long number = -1;
            CHECK(ARMCI_Rmw(ARMCI_FETCH_AND_ADD_LONG, &number, counters[proc], 1, proc) == 0,
                  "at %d", proc);
            CHECK(number >= 0 && number < (long)TIMES * size, "drew %ld", number);
            char one = 1, found = 0;
            if (number >= 0 && number < (long)TIMES * size) {
                CHECK(ARMCI_Get(at(drawn, proc, number), &found, 1, proc) == 0 && found == 0,
                      "drew %ld again", number);
                CHECK(ARMCI_Put(&one, at(drawn, proc, number), 1, proc) == 0, "drew %ld", number);
            }
        }
    ARMCI_Barrier();
    for (long i = 0; i < (long)TIMES * size; i++)
        CHECK(((char *)drawn[rank])[i] == 1, "number %ld was not drawn", i);
    CHECK(*(long *)counters[rank] == (long)TIMES * size, "%ld", *(long *)counters[rank]);
    release(drawn);
    release(counters);
}

/* Tokens go from hand to hand: none is lost, none doubled. */
static void swaps_lose_nothing(void)
{
    void **parts = shared(16);
    int token = rank + 1;
    for (int i = 0; i < 1000; i++)
        CHECK(ARMCI_Rmw(ARMCI_SWAP, &token, parts[0], 0, 0) == 0, "swap %d", i);
    armci_msg_igop(&token, 1, "+");
    ARMCI_Barrier();
    int left = ARMCI_GetValueInt(parts[0], 0);
    CHECK(token + left == size * (size + 1) / 2, "%d in hands, %d in the middle", token, left);
    release(parts);
}

static void wrong_arguments(void)
{
    void **parts = shared(16);
    long value = 3;
    CHECK(ARMCI_Rmw(0, &value, parts[NEXT], 1, NEXT) != 0, "no such operation");
    CHECK(ARMCI_Rmw(ARMCI_SWAP, NULL, parts[NEXT], 1, NEXT) != 0, "nowhere to store");
    CHECK(ARMCI_Rmw(ARMCI_SWAP, &value, NULL, 1, NEXT) != 0, "no target");
    CHECK(ARMCI_Rmw(ARMCI_SWAP, &value, parts[NEXT], 1, size) != 0, "no such rank");
    CHECK(ARMCI_Rmw(ARMCI_FETCH_AND_ADD_LONG, &value, at(parts, NEXT, 4), 1, NEXT) != 0,
          "not aligned");
    if (size > 1)
        CHECK(ARMCI_Rmw(ARMCI_FETCH_AND_ADD_LONG, &value, (void *)8, 1, NEXT) != 0, "outside");
    ARMCI_Barrier();
    CHECK(*(long *)parts[rank] == 0 && value == 3, "nothing was changed");
    release(parts);
}

const test_case rmw_cases[] = {
    {"rmw: fetch and add", fetch_and_add},
    {"rmw: swap", swap},
    {"rmw: every number once", every_number_once},
    {"rmw: concurrent swaps lose nothing", swaps_lose_nothing},
    {"rmw: wrong arguments", wrong_arguments},
    {0},
};
