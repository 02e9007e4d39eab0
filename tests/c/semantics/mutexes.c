/* Mutexes. */
#include "check.h"

#include <armcix.h>

/* Counts up by get and put, which only a mutex makes whole. */
static void count_up(void **parts, int proc, int times, void (*lock)(int, int),
                     void (*unlock)(int, int), int mutex)
{
    for (int i = 0; i < times; i++) {
        long pair[2];
        lock(mutex, proc);
        CHECK(ARMCI_Get(parts[proc], pair, sizeof pair, proc) == 0, "of %d", proc);
        CHECK(pair[0] == -pair[1], "seen in the middle: %ld, %ld", pair[0], pair[1]);
        pair[0]++;
        CHECK(ARMCI_Put(&pair[0], parts[proc], 8, proc) == 0, "of %d", proc);
        pair[1]--;
        CHECK(ARMCI_Put(&pair[1], at(parts, proc, 8), 8, proc) == 0, "of %d", proc);
        unlock(mutex, proc);
    }
}

static void mutual_exclusion(void)
{
    enum { TIMES = 100 };
    void **parts = shared(16);
    CHECK(ARMCI_Create_mutexes(3) == 0, "three each");
    for (int proc = 0; proc < size; proc++)
        count_up(parts, proc, TIMES, ARMCI_Lock, ARMCI_Unlock, proc % 3);
    ARMCI_Barrier();
    CHECK(((long *)parts[rank])[0] == (long)TIMES * size, "%ld", ((long *)parts[rank])[0]);
    CHECK(ARMCI_Destroy_mutexes() == 0, "all");
    release(parts);
}

/* What the holder has put is there for the next, also if the data are not where the mutex is. */
static void puts_are_seen_after_unlock(void)
{
    enum { TIMES = 60, BYTES = 5000 };
    void **parts = shared(BYTES + 8);
    char data[BYTES + 8];
    CHECK(ARMCI_Create_mutexes(rank == 0) == 0, "one in all");
    for (int i = 0; i < TIMES; i++) {
        long turn;
        ARMCI_Lock(0, 0);
        CHECK(ARMCI_Get(parts[size - 1], data, sizeof data, size - 1) == 0, "round %d", i);
        memcpy(&turn, data + BYTES, sizeof turn);
        if (turn > 0)
            CHECK(wrong(data, BYTES, 0, (int)(turn % 50)) == 0, "turn %ld", turn);
        turn++;
        fill(data, BYTES, 0, (int)(turn % 50));
        CHECK(ARMCI_Put(&turn, at(parts, size - 1, BYTES), sizeof turn, size - 1) == 0, "round %d",
              i);
        CHECK(ARMCI_Put(data, parts[size - 1], BYTES, size - 1) == 0, "round %d", i);
        ARMCI_Unlock(0, 0);
    }
    ARMCI_Barrier();
    long turns = ARMCI_GetValueLong(at(parts, size - 1, BYTES), size - 1);
    CHECK(turns == (long)TIMES * size, "%ld turns", turns);
    CHECK(ARMCI_Destroy_mutexes() == 0, "all");
    release(parts);
}

static void numbers_differ_by_rank(void)
{
    for (int round = 0; round < 3; round++) {
        CHECK(ARMCI_Create_mutexes(rank + round) == 0, "round %d", round);
        for (int proc = 0; proc < size; proc++)
            for (int mutex = 0; mutex < proc + round; mutex++) {
                ARMCI_Lock(mutex, proc);
                ARMCI_Unlock(mutex, proc);
            }
        CHECK(ARMCI_Destroy_mutexes() == 0, "round %d", round);
    }
    CHECK(ARMCI_Create_mutexes(0) == 0 && ARMCI_Destroy_mutexes() == 0, "none at all");
}

static void several_at_once(void)
{
    CHECK(ARMCI_Create_mutexes(4) == 0, "four each");
    for (int i = 0; i < 20; i++) {
        for (int mutex = 0; mutex < 4; mutex++)
            ARMCI_Lock(mutex, 0);
        for (int mutex = 0; mutex < 4; mutex++)
            ARMCI_Unlock(mutex, 0);
    }
    CHECK(ARMCI_Destroy_mutexes() == 0, "all");
}

static void trying(void)
{
    CHECK(ARMCI_Create_mutexes(1) == 0, "one each");
    CHECK(ARMCIX_Trylock(0, rank) == 0, "nobody has it");
    ARMCI_Barrier();
    if (size > 1)
        CHECK(ARMCIX_Trylock(0, NEXT) == 1, "rank %d has it", NEXT);
    ARMCI_Barrier();
    ARMCI_Unlock(0, rank);
    ARMCI_Barrier();
    CHECK(ARMCIX_Trylock(0, NEXT) == 0, "it is free again");
    ARMCI_Unlock(0, NEXT);
    CHECK(ARMCIX_Trylock(1, NEXT) < 0 && ARMCIX_Trylock(-1, NEXT) < 0 &&
              ARMCIX_Trylock(0, size) < 0,
          "no such mutex");
    ARMCI_Barrier();
    CHECK(ARMCI_Destroy_mutexes() == 0, "all");
}

static armcix_mutex_hdl_t set;

static void lock_of_set(int mutex, int proc)
{
    ARMCIX_Lock_hdl(set, mutex, proc);
}

static void unlock_of_set(int mutex, int proc)
{
    ARMCIX_Unlock_hdl(set, mutex, proc);
}

static void sets(void)
{
    enum { TIMES = 50 };
    void **parts = shared(16);
    ARMCI_Group world;
    ARMCI_Group_get_world(&world);
    CHECK(ARMCI_Create_mutexes(1) == 0, "one each");
    armcix_mutex_hdl_t other = ARMCIX_Create_mutexes_hdl(1, &world);
    set = ARMCIX_Create_mutexes_hdl(2, &world);
    CHECK(set && other && set != other, "two sets");
    /* They are apart: having one does not keep anybody from another. */
    CHECK(ARMCIX_Trylock_hdl(set, 0, rank) == 0 && ARMCIX_Trylock_hdl(other, 0, rank) == 0,
          "nobody has them");
    ARMCI_Lock(0, rank);
    ARMCI_Unlock(0, rank);
    ARMCIX_Unlock_hdl(set, 0, rank);
    ARMCIX_Unlock_hdl(other, 0, rank);
    ARMCI_Barrier();
    for (int proc = 0; proc < size; proc++)
        count_up(parts, proc, TIMES, lock_of_set, unlock_of_set, 1);
    ARMCI_Barrier();
    CHECK(((long *)parts[rank])[0] == (long)TIMES * size, "%ld", ((long *)parts[rank])[0]);
    CHECK(ARMCIX_Destroy_mutexes_hdl(set) == 0 && ARMCIX_Destroy_mutexes_hdl(other) == 0, "both");
    CHECK(ARMCI_Destroy_mutexes() == 0, "all");
    ARMCIX_Progress();
    release(parts);
}

static void wrong_arguments(void)
{
    CHECK(ARMCI_Destroy_mutexes() != 0, "there are none");
    CHECK(ARMCI_Create_mutexes(-1) != 0, "a negative number");
    CHECK(ARMCI_Create_mutexes(1) == 0, "one each");
    CHECK(ARMCI_Create_mutexes(1) != 0, "there are some");
    CHECK(ARMCI_Destroy_mutexes() == 0, "all");
    CHECK(ARMCIX_Destroy_mutexes_hdl(NULL) != 0, "no set");
}

const test_case mutex_cases[] = {
    {"mutexes: mutual exclusion", mutual_exclusion},
    {"mutexes: puts are seen after unlock", puts_are_seen_after_unlock},
    {"mutexes: numbers differ by rank", numbers_differ_by_rank},
    {"mutexes: several at once", several_at_once},
    {"mutexes: trying", trying},
    {"mutexes: sets", sets},
    {"mutexes: wrong arguments", wrong_arguments},
    {0},
};
