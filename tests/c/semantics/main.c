/*
 * What ARMCI promises to C programs, tried: every call, on any number of ranks. Rank 0 prints a
 * line for each case and one verdict; the exit status is 1 if any case failed on any rank.
 * `semantics NAME...` runs the cases whose names begin with one of them.
 */
#include "check.h"

#include <stdarg.h>

int rank, size;

static int failures;

void check_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    if (++failures > 5)
        return;
    const char *base = strrchr(file, '/');
    va_list arguments;
    char text[256];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printf("%s:%d: not %s: %s\n", base ? base + 1 : file, line, condition, text);
    fflush(stdout);
}

void **shared(long bytes)
{
    void **addresses = calloc((size_t)size, sizeof *addresses);
    if (!addresses || ARMCI_Malloc(addresses, bytes) != 0)
        ARMCI_Error("no memory for a test", (int)bytes);
    return addresses;
}

void release(void **addresses)
{
    ARMCI_Barrier();
    CHECK(ARMCI_Free(addresses[rank]) == 0, "own part %p", addresses[rank]);
    free(addresses);
}

void fill(void *memory, long bytes, int of_rank, int round)
{
    for (long i = 0; i < bytes; i++)
        ((unsigned char *)memory)[i] = mark(of_rank, round, i);
}

long wrong(const void *memory, long bytes, int of_rank, int round)
{
    long count = 0;
    for (long i = 0; i < bytes; i++)
        count += ((const unsigned char *)memory)[i] != mark(of_rank, round, i);
    return count;
}

static int wanted(const char *name, int argc, char **argv)
{
    if (argc < 2)
        return 1;
    for (int i = 1; i < argc; i++)
        if (strncmp(name, argv[i], strlen(argv[i])) == 0)
            return 1;
    return 0;
}

int main(int argc, char **argv)
{
    static const test_case *const files[] = {
        query_cases,      memory_cases,      contiguous_cases, strided_cases,   vector_cases,
        accumulate_cases, nonblocking_cases, value_cases,      rmw_cases,       mutex_cases,
        notify_cases,     group_cases,       message_cases,    reduction_cases,
    };
    int passed = 0, failed = 0;
    if (ARMCI_Initialized() != 0)
        return 2;
    if (ARMCI_Init_args(&argc, &argv) != 0 || ARMCI_Initialized() != 1)
        return 2;
    rank = armci_msg_me();
    size = armci_msg_nproc();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        for (const test_case *one = files[i]; one->name; one++) {
            if (!wanted(one->name, argc, argv))
                continue;
            failures = 0;
            one->run();
            int anywhere = failures;
            armci_msg_igop(&anywhere, 1, "+");
            passed += anywhere == 0;
            failed += anywhere != 0;
            if (rank == 0) {
                printf("%s %s\n", anywhere == 0 ? "ok    " : "FAILED", one->name);
                fflush(stdout);
            }
        }
    }
    if (rank == 0)
        printf("%d passed, %d failed on %d ranks\n", passed, failed, size);
    if (ARMCI_Finalize() != 0 || ARMCI_Initialized() != 0)
        return 2;
    return failed != 0;
}
