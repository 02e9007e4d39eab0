/* Global operations: every operator with every type. */
#include "check.h"

#include <math.h>

/* The operand of a rank; what a few small numbers of both signs give is exact in all types. */
static long operand(int of_rank, int i)
{
    return (of_rank + 2 * i) % 7 - 3 + (i % 3 == 0 ? 4 : 0);
}

static long magnitude(long value)
{
    return value < 0 ? -value : value;
}

static long combined(const char *op, long a, long b)
{
    if (strcmp(op, "+") == 0)
        return a + b;
    if (strcmp(op, "*") == 0)
        return a * b;
    if (strcmp(op, "max") == 0)
        return a > b ? a : b;
    if (strcmp(op, "min") == 0)
        return a < b ? a : b;
    if (strcmp(op, "absmax") == 0)
        return magnitude(a) > magnitude(b) ? magnitude(a) : magnitude(b);
    if (strcmp(op, "absmin") == 0)
        return magnitude(a) < magnitude(b) ? magnitude(a) : magnitude(b);
    if (strcmp(op, "or") == 0 || strcmp(op, "bor") == 0 || strcmp(op, "|") == 0)
        return a | b;
    if (strcmp(op, "band") == 0 || strcmp(op, "&") == 0)
        return a & b;
    if (strcmp(op, "lor") == 0 || strcmp(op, "||") == 0)
        return a || b;
    return a && b;
}

static long result(const char *op, int i)
{
    long value = operand(0, i);
    if (size == 1 && strncmp(op, "abs", 3) == 0)
        return magnitude(value);
    if (size == 1 && (strcmp(op, "lor") == 0 || strcmp(op, "land") == 0 || strcmp(op, "||") == 0 ||
                      strcmp(op, "&&") == 0))
        return value != 0;
    for (int i_rank = 1; i_rank < size; i_rank++)
        value = combined(op, value, operand(i_rank, i));
    return value;
}

static const char *const NUMBER_OPS[] = {"+", "*", "max", "min", "absmax", "absmin", NULL};
static const char *const BIT_OPS[] = {"or",  "bor", "|",    "band", "&",
                                      "lor", "||",  "land", "&&",   NULL};
enum { COUNT = 5000 };

#define TRY_TYPE(name, type, tag, whole, gop, clus_gop) \
    static void name##_op(const char *op, int n) \
    { \
        static type x[COUNT]; \
        char *o = (char *)(uintptr_t)op; \
        for (int way = 0; way < 5; way++) { \
            if (n > 100 && way > 1) \
                break; \
            for (int i = 0; i < n; i++) \
                x[i] = (type)operand(rank, i); \
            if (way == 0) \
                gop(x, n, o); \
            else if (way == 1) \
                armci_msg_gop_scope(SCOPE_ALL, x, n, o, tag); \
            else if (way == 2) \
                armci_msg_gop_scope(SCOPE_MASTERS, x, n, o, tag); \
            else if (way == 3) \
                armci_msg_reduce(x, n, o, tag); \
            else \
                armci_msg_reduce_scope(SCOPE_ALL, x, n, o, tag); \
            if (way < 3 || rank == 0) \
                for (int i = 0; i < n; i++) \
                    CHECK(x[i] == (type)result(op, i), \
                          "%s of %d, way %d, element %d: %f, not %ld", op, n, way, i, \
                          (double)x[i], result(op, i)); \
        } \
    } \
    static void name(void) \
    { \
        for (int i = 0; NUMBER_OPS[i]; i++) { \
            name##_op(NUMBER_OPS[i], 1); \
            name##_op(NUMBER_OPS[i], 100); \
            name##_op(NUMBER_OPS[i], COUNT); \
        } \
        for (int i = 0; whole && BIT_OPS[i]; i++) { \
            name##_op(BIT_OPS[i], 1); \
            name##_op(BIT_OPS[i], 100); \
        } \
        type own = (type)rank; \
        clus_gop(&own, 1, "+"); \
        CHECK(own == (type)rank, "alone"); \
        armci_msg_reduce_scope(SCOPE_NODE, &own, 1, "max", tag); \
        CHECK(own == (type)rank, "alone"); \
        gop(&own, 0, "+"); \
        CHECK(own == (type)rank, "nothing"); \
    }

TRY_TYPE(type_int, int, ARMCI_INT, 1, armci_msg_igop, armci_msg_clus_igop)
TRY_TYPE(type_long, long, ARMCI_LONG, 1, armci_msg_lgop, armci_msg_clus_lgop)
TRY_TYPE(type_long_long, long long, ARMCI_LONG_LONG, 1, armci_msg_llgop, armci_msg_clus_llgop)
TRY_TYPE(type_float, float, ARMCI_FLOAT, 0, armci_msg_fgop, armci_msg_clus_fgop)
TRY_TYPE(type_double, double, ARMCI_DOUBLE, 0, armci_msg_dgop, armci_msg_clus_dgop)

static void the_same_bits_everywhere(void)
{
    double sum = 1.0 / (rank + 3), least, most;
    armci_msg_dgop(&sum, 1, "+");
    least = most = sum;
    armci_msg_dgop(&least, 1, "min");
    armci_msg_dgop(&most, 1, "max");
    CHECK(least == most, "from %.17g to %.17g", least, most);
}

static void unaligned(void)
{
    char bytes[20];
    double value = rank + 0.5, sum;
    memcpy(bytes + 3, &value, sizeof value);
    armci_msg_dgop((double *)(void *)(bytes + 3), 1, "+");
    memcpy(&sum, bytes + 3, sizeof sum);
    CHECK(sum == size * (size - 1) / 2 + 0.5 * size, "%f", sum);
}

/* The record of the best one goes to all. */
typedef struct {
    double key;
    int of_rank;
    char text[52];
} record;

static record record_of(int of_rank)
{
    record one = {(of_rank * 5 % 7) - 2.0, of_rank, ""};
    snprintf(one.text, sizeof one.text, "record of %d", of_rank);
    return one;
}

static void selecting(void)
{
    for (int scope = 0; scope < 2; scope++)
        for (int greatest = 0; greatest < 2; greatest++)
            for (int without = -1; without < size; without++) {
                record mine = record_of(rank), best = {0};
                int any = 0;
                for (int i = 0; i < size; i++) {
                    record one = record_of(i);
                    if (i != without &&
                        (!any || (greatest ? one.key > best.key : one.key < best.key)))
                        best = one, any = 1;
                }
                char *op = greatest ? "max" : "min";
                if (scope)
                    armci_msg_sel_scope(SCOPE_ALL, &mine, sizeof mine, op, ARMCI_DOUBLE,
                                        rank != without);
                else
                    armci_msg_sel(&mine, sizeof mine, op, ARMCI_DOUBLE, rank != without);
                if (any)
                    CHECK(mine.key == best.key &&
                              strcmp(mine.text, record_of(mine.of_rank).text) == 0,
                          "%s without %d: %f of %d", op, without, mine.key, mine.of_rank);
                int least = mine.of_rank, most = mine.of_rank;
                armci_msg_igop(&least, 1, "min");
                armci_msg_igop(&most, 1, "max");
                if (any)
                    CHECK(least == most, "all have the same: %d, %d", least, most);
            }
    int i = 100 - rank;
    armci_msg_sel(&i, sizeof i, "max", ARMCI_INT, 1);
    CHECK(i == 100, "%d", i);
    long l = 100 + rank;
    armci_msg_sel(&l, sizeof l, "min", ARMCI_LONG, 1);
    CHECK(l == 100, "%ld", l);
    long long ll = -(1LL << 40) * rank;
    armci_msg_sel(&ll, sizeof ll, "max", ARMCI_LONG_LONG, 1);
    CHECK(ll == 0, "%lld", ll);
    float f = (float)rank / 4;
    armci_msg_sel(&f, sizeof f, "max", ARMCI_FLOAT, 1);
    CHECK(f == (float)(size - 1) / 4, "%f", f);
    int own = rank;
    armci_msg_sel_scope(SCOPE_NODE, &own, sizeof own, "max", ARMCI_INT, 1);
    CHECK(own == rank, "alone");
    /* Nobody contributes. */
    armci_msg_sel(&own, sizeof own, "max", ARMCI_INT, 0);
    CHECK(own == rank, "as it was");
}

const test_case reduction_cases[] = {
    {"reductions: int", type_int},
    {"reductions: long", type_long},
    {"reductions: long long", type_long_long},
    {"reductions: float", type_float},
    {"reductions: double", type_double},
    {"reductions: the same bits everywhere", the_same_bits_everywhere},
    {"reductions: unaligned", unaligned},
    {"reductions: selecting", selecting},
    {0},
};
