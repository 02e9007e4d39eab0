/* Flags and notifications. */
#include "check.h"

#include <armcix.h>

static void a_flag_comes_after_its_data(void)
{
    enum { BYTES = 9000 };
    void **parts = shared(BYTES + 16);
    char data[BYTES];
    volatile int *flag = (volatile int *)at(parts, rank, BYTES);
    for (int round = 1; round <= 100; round++) {
        fill(data, BYTES, rank, round);
        CHECK(ARMCI_Put_flag(data, parts[NEXT], BYTES, (int *)at(parts, NEXT, BYTES), round,
                             NEXT) == 0,
              "round %d", round);
        while (*flag < round)
            ARMCIX_Progress();
        CHECK(wrong(parts[rank], BYTES, PREVIOUS, round) == 0, "round %d", round);
        ARMCI_Barrier();
    }
    CHECK(*(int *)at(parts, rank, BYTES + 4) == 0, "the flag is one int");
    CHECK(ARMCI_Put_flag(data, parts[NEXT], BYTES, NULL, 1, NEXT) != 0, "no flag");
    CHECK(ARMCI_Put_flag(data, parts[NEXT], -1, (int *)at(parts, NEXT, BYTES), 1, NEXT) != 0,
          "negative length");
    CHECK(ARMCI_Put_flag(data, parts[NEXT], 0, (int *)at(parts, NEXT, BYTES), 500, NEXT) == 0,
          "nothing but the flag");
    ARMCI_Barrier();
    CHECK(*flag == 500, "%d", *flag);
    release(parts);
}

static void notifications_come_after_the_data(void)
{
    enum { BYTES = 3000 };
    void **parts = shared(BYTES);
    char data[BYTES];
    int first = 0;
    for (int round = 1; round <= 50; round++) {
        int waited = -1;
        fill(data, BYTES, rank, round);
        CHECK(ARMCI_Put(data, parts[NEXT], BYTES, NEXT) == 0, "round %d", round);
        int sent = round % 2 ? armci_notify(NEXT) : ARMCI_Notify(NEXT);
        int came =
            round % 2 ? armci_notify_wait(PREVIOUS, &waited) : ARMCI_Notify_wait(PREVIOUS, &waited);
        if (round == 1)
            first = sent - 1;
        CHECK(sent == first + round, "sent %d", sent);
        CHECK(waited >= round && came >= waited, "came %d, waited for %d", came, waited);
        CHECK(wrong(parts[rank], BYTES, PREVIOUS, round) == 0, "round %d", round);
        ARMCI_Barrier();
    }
    release(parts);
}

static void notifications_are_counted(void)
{
    int waited, came = 0;
    ARMCI_Barrier();
    for (int i = 0; i < 10; i++)
        for (int proc = 0; proc < size; proc++)
            CHECK(armci_notify(proc) > 0, "to %d", proc);
    for (int proc = 0; proc < size; proc++)
        for (int i = 0; i < 10; i++) {
            came = armci_notify_wait(proc, &waited);
            CHECK(came >= waited, "from %d: %d", proc, came);
        }
    ARMCI_Barrier();
    CHECK(armci_notify(-1) < 0 && armci_notify(size) < 0, "no such rank");
    CHECK(armci_notify_wait(-1, &waited) < 0 && armci_notify_wait(size, &waited) < 0,
          "no such rank");
}

/* A token goes round: everybody adds to what has come. */
static void round_the_ring(void)
{
    void **parts = shared(16);
    int waited;
    long value = 0;
    if (rank == 0 && size > 1) {
        CHECK(ARMCI_PutValueLong(1, parts[NEXT], NEXT) == 0, "to %d", NEXT);
        armci_notify(NEXT);
    }
    if (size > 1) {
        armci_notify_wait(PREVIOUS, &waited);
        value = *(volatile long *)parts[rank];
        CHECK(value == (rank == 0 ? size : rank), "%ld", value);
    }
    if (rank != 0) {
        CHECK(ARMCI_PutValueLong(value + 1, parts[NEXT], NEXT) == 0, "to %d", NEXT);
        armci_notify(NEXT);
    }
    release(parts);
}

const test_case notify_cases[] = {
    {"notify: a flag comes after its data", a_flag_comes_after_its_data},
    {"notify: after the data", notifications_come_after_the_data},
    {"notify: counted", notifications_are_counted},
    {"notify: round the ring", round_the_ring},
    {0},
};
