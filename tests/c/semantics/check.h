/* What the files of this program share: cases, checks, and memory that all ranks reach. */
#ifndef CHECK_H
#define CHECK_H

#include <armci.h>
#include <message.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int rank, size;

/* The neighbours in the ring of ranks. */
#define NEXT ((rank + 1) % size)
#define PREVIOUS ((rank + size - 1) % size)

/* A case: every rank runs it. It may use collective calls if it goes on after a failed check. */
typedef struct {
    const char *name;
    void (*run)(void);
} test_case;

#define CHECK(condition, ...) \
    do { \
        if (!(condition)) \
            check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__); \
    } while (0)

void check_failed(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Collective: allocates `bytes` on each rank, and returns the array of addresses. */
void **shared(long bytes);
/* Collective: all ranks are here before the memory is given back. */
void release(void **addresses);

/* Address `offset` bytes behind the start of the part of `proc`. */
static inline char *at(void **addresses, int proc, long offset)
{
    return (char *)addresses[proc] + offset;
}

/* A byte that tells ranks, rounds and places apart. */
static inline unsigned char mark(int of_rank, int round, long place)
{
    return (unsigned char)(of_rank * 53 + round * 17 + place * 7 + place / 251 + 1);
}

void fill(void *memory, long bytes, int of_rank, int round);
/* How many bytes are not as `fill` made them. */
long wrong(const void *memory, long bytes, int of_rank, int round);

extern const test_case memory_cases[], contiguous_cases[], strided_cases[], vector_cases[],
    accumulate_cases[], nonblocking_cases[], value_cases[], rmw_cases[], mutex_cases[],
    notify_cases[], group_cases[], message_cases[], reduction_cases[], query_cases[];

#endif
