/* Single values, by value. */
#include "check.h"

static void put_and_get(void)
{
    void **parts = shared(64);
    CHECK(ARMCI_PutValueInt(-7 - rank, at(parts, NEXT, 0), NEXT) == 0, "int");
    CHECK(ARMCI_PutValueLong((1L << 40) + rank, at(parts, NEXT, 8), NEXT) == 0, "long");
    CHECK(ARMCI_PutValueFloat(1.5F + rank, at(parts, NEXT, 16), NEXT) == 0, "float");
    CHECK(ARMCI_PutValueDouble(-0.125 * rank, at(parts, NEXT, 24), NEXT) == 0, "double");
    ARMCI_Barrier();
    CHECK(*(int *)at(parts, rank, 0) == -7 - PREVIOUS, "int");
    CHECK(*(long *)at(parts, rank, 8) == (1L << 40) + PREVIOUS, "long");
    CHECK(*(float *)at(parts, rank, 16) == 1.5F + PREVIOUS, "float");
    CHECK(*(double *)at(parts, rank, 24) == -0.125 * PREVIOUS, "double");
    CHECK(ARMCI_GetValueInt(at(parts, NEXT, 0), NEXT) == -7 - rank, "int");
    CHECK(ARMCI_GetValueLong(at(parts, NEXT, 8), NEXT) == (1L << 40) + rank, "long");
    CHECK(ARMCI_GetValueFloat(at(parts, NEXT, 16), NEXT) == 1.5F + rank, "float");
    CHECK(ARMCI_GetValueDouble(at(parts, NEXT, 24), NEXT) == -0.125 * rank, "double");
    release(parts);
}

static void non_blocking(void)
{
    void **parts = shared(64);
    armci_hdl_t handle;
    ARMCI_INIT_HANDLE(&handle);
    CHECK(ARMCI_NbPutValueInt(11 + rank, at(parts, NEXT, 0), NEXT, &handle) == 0, "int");
    CHECK(ARMCI_NbPutValueLong(12L + rank, at(parts, NEXT, 8), NEXT, &handle) == 0, "long");
    CHECK(ARMCI_NbPutValueFloat(13.0F + rank, at(parts, NEXT, 16), NEXT, NULL) == 0, "float");
    CHECK(ARMCI_NbPutValueDouble(14.0 + rank, at(parts, NEXT, 24), NEXT, NULL) == 0, "double");
    CHECK(ARMCI_Wait(&handle) == 0 && ARMCI_WaitAll() == 0, "all");
    ARMCI_Barrier();
    CHECK(*(int *)at(parts, rank, 0) == 11 + PREVIOUS, "int");
    CHECK(*(long *)at(parts, rank, 8) == 12 + PREVIOUS, "long");
    CHECK(*(float *)at(parts, rank, 16) == 13.0F + PREVIOUS, "float");
    CHECK(*(double *)at(parts, rank, 24) == 14.0 + PREVIOUS, "double");
    release(parts);
}

static void wrong_arguments(void)
{
    void **parts = shared(64);
    CHECK(ARMCI_PutValueInt(1, NULL, NEXT) != 0, "no target");
    CHECK(ARMCI_PutValueLong(1, parts[NEXT], size) != 0, "no such rank");
    CHECK(ARMCI_PutValueFloat(1, parts[NEXT], -1) != 0, "no such rank");
    CHECK(ARMCI_PutValueDouble(1, NULL, NEXT) != 0, "no target");
    CHECK(ARMCI_NbPutValueInt(1, NULL, NEXT, NULL) != 0, "no target");
    CHECK(ARMCI_NbPutValueDouble(1, parts[NEXT], size, NULL) != 0, "no such rank");
    if (size > 1)
        CHECK(ARMCI_PutValueInt(1, (void *)4, NEXT) != 0, "outside");
    release(parts);
}

const test_case value_cases[] = {
    {"values: put and get", put_and_get},
    {"values: non-blocking", non_blocking},
    {"values: wrong arguments", wrong_arguments},
    {0},
};
