/*
 * The rows of Xenolith's application `bench`, through any other implementation of ARMCI 1.x on MPI:
 * process 0 works on the memory of process 1, all others wait in a barrier.
 *
 * mpicc -O2 -DPEER_NAME='"name"' armci_bench.c -larmci-... && mpirun -n 2 ./a.out [barrier]
 *
 * Method, sizes and output are those of tests/applications/src/bin/bench, so that both can be read
 * side by side.
 */
#define _POSIX_C_SOURCE 200809L

#include <armci.h>
#include <mpi.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef PEER_NAME
#define PEER_NAME "armci"
#endif

static const size_t SIZES[] = {8, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304};
enum {
    SIZE_COUNT = sizeof SIZES / sizeof SIZES[0],
    LONGEST = 4194304,
    BURST = 64,
    BURST_LONGEST = 4096,
    PAGE = 4096
};
/* Strided puts: bytes of a row, from one row to the next at the target, and in all. */
enum { ROW = 64, PITCH = 128, STRIDED = 4096 };

/* What one row may cost; see effort.rs. */
static const double BATCH_NS = 2e6, ROW_NS = 400e6;
/* How long the target of fetch-add-busy computes. */
static const double BUSY_NS = 200e6;
enum { BATCHES = 15 };

/* What the operations work on: on process 1 through ARMCI, and here. */
static double *target;
static long *counter;
static double *source, *destination;
static uint64_t done;

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return 1e9 * (double)time.tv_sec + (double)time.tv_nsec;
}

static void require(bool good, const char *op, size_t bytes, const char *what)
{
    if (!good) {
        fprintf(stderr, "armci_bench: %s of %zu bytes: %s\n", op, bytes, what);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
}

/* Does `count` operations of `bytes` each. */
typedef void batch_fn(size_t bytes, uint64_t count);

static void memcpy_batch(size_t bytes, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        memcpy(destination, source, bytes);
        __asm__ volatile("" ::: "memory");
    }
}

static void put_batch(size_t bytes, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        require(ARMCI_Put(source, target, (int)bytes, 1) == 0, "put", bytes, "failed");
    ARMCI_Fence(1);
}

static void get_batch(size_t bytes, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        require(ARMCI_Get(target, destination, (int)bytes, 1) == 0, "get", bytes, "failed");
}

static void acc_batch(size_t bytes, uint64_t count)
{
    double scale = 1;
    for (uint64_t i = 0; i < count; i++)
        require(ARMCI_Acc(ARMCI_ACC_DBL, &scale, source, target, (int)bytes, 1) == 0, "acc", bytes,
                "failed");
    ARMCI_Fence(1);
    done += count;
}

static void nbput_batch(size_t bytes, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        require(ARMCI_NbPut(source, target, (int)bytes, 1, NULL) == 0, "nbput", bytes, "failed");
        if (i % BURST == BURST - 1)
            ARMCI_WaitAll();
    }
    ARMCI_WaitAll();
    ARMCI_Fence(1);
}

static void fetch_add_batch(size_t bytes, uint64_t count)
{
    long before;
    for (uint64_t i = 0; i < count; i++)
        require(ARMCI_Rmw(ARMCI_FETCH_AND_ADD_LONG, &before, counter, 1, 1) == 0, "fetch-add",
                bytes, "failed");
    done += count;
}

static void strided_batch(size_t bytes, uint64_t count)
{
    int here[] = {ROW}, there[] = {PITCH}, counts[] = {ROW, (int)(bytes / ROW)};
    for (uint64_t i = 0; i < count; i++)
        require(ARMCI_PutS(source, here, target, there, counts, 1, 1) == 0, "strided", bytes,
                "failed");
    ARMCI_Fence(1);
}

static void lock_batch(size_t bytes, uint64_t count)
{
    (void)bytes;
    for (uint64_t i = 0; i < count; i++) {
        ARMCI_Lock(0, 1);
        ARMCI_Unlock(0, 1);
    }
}

static void barrier_batch(size_t bytes, uint64_t count)
{
    (void)bytes;
    for (uint64_t i = 0; i < count; i++)
        ARMCI_Barrier();
}

/* In a collective row all processes make as many operations as process 0 says. */
static double timed(batch_fn *batch, size_t bytes, uint64_t count, bool collective)
{
    if (collective)
        MPI_Bcast(&count, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    double start = now_ns();
    batch(bytes, count);
    return now_ns() - start;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void row(const char *op, size_t bytes, batch_fn *batch, bool collective)
{
    double start = now_ns(), times[BATCHES];
    uint64_t count = 1;
    double last = timed(batch, bytes, count, collective);
    while (last < BATCH_NS / 2 && now_ns() - start < ROW_NS / 4) {
        double factor = BATCH_NS / (last > 1 ? last : 1);
        uint64_t next = (uint64_t)((double)count * (factor < 10 ? factor : 10));
        count = next > count ? next : count + 1;
        last = timed(batch, bytes, count, collective);
    }
    int batches = 0;
    while (batches == 0 || (batches < BATCHES && now_ns() - start < ROW_NS))
        times[batches++] = timed(batch, bytes, count, collective) / (double)count;
    qsort(times, (size_t)batches, sizeof times[0], ascending);
    printf("%s,%s,%zu,%.1f,%.1f\n", PEER_NAME, op, bytes, times[batches / 2], times[0]);
    fflush(stdout);
}

static void fill_source(size_t bytes, double value, double step)
{
    for (size_t i = 0; i < bytes / sizeof(double); i++)
        source[i] = value + step * (double)i;
}

static void get_and_compare(const char *op, size_t bytes)
{
    get_batch(bytes, 1);
    require(memcmp(source, destination, bytes) == 0, op, bytes, "wrong data");
}

static void rows_of_size(size_t bytes, double mark)
{
    fill_source(bytes, mark, 1);
    row("memcpy", bytes, memcpy_batch, false);
    row("put", bytes, put_batch, false);
    get_and_compare("put", bytes);

    fill_source(bytes, mark + 0.25, 1);
    put_batch(bytes, 1);
    row("get", bytes, get_batch, false);
    get_and_compare("get", bytes);

    fill_source(bytes, 0, 0);
    put_batch(bytes, 1);
    fill_source(bytes, 1, 0);
    done = 0;
    row("acc", bytes, acc_batch, false);
    fill_source(bytes, (double)done, 0);
    get_and_compare("acc", bytes);

    if (bytes <= BURST_LONGEST) {
        fill_source(bytes, mark + 0.5, 1);
        row("nbput", bytes, nbput_batch, false);
        get_and_compare("nbput", bytes);
    }
}

static void strided_row(void)
{
    int here[] = {ROW}, there[] = {PITCH}, counts[] = {ROW, STRIDED / ROW};
    fill_source(STRIDED, 77, 1);
    row("strided", STRIDED, strided_batch, false);
    require(ARMCI_GetS(target, there, destination, here, counts, 1, 1) == 0, "strided", STRIDED,
            "get failed");
    require(memcmp(source, destination, STRIDED) == 0, "strided", STRIDED, "wrong data");
}

static void fetch_add_row(void)
{
    long zero = 0, found;
    ARMCI_Put(&zero, counter, sizeof zero, 1);
    ARMCI_Fence(1);
    done = 0;
    row("fetch-add", sizeof zero, fetch_add_batch, false);
    ARMCI_Get(counter, &found, sizeof found, 1);
    require(found == (long)done, "fetch-add", sizeof found, "wrong count");
}

/*
 * As many as can be done while the target computes, or one if it takes until the target does
 * something else.
 */
static void fetch_add_busy_row(void)
{
    double start = now_ns(), took = 0;
    uint64_t batch = 1;
    /* More and more between two looks at the clock, whose cost is to be nobody's. */
    for (done = 0; took < BUSY_NS * 9 / 10; took = now_ns() - start) {
        fetch_add_batch(sizeof(long), batch);
        batch = batch < 1024 ? 2 * batch : 1024;
    }
    printf("%s,fetch-add-busy,%zu,%.1f,%.1f\n", PEER_NAME, sizeof(long), took / (double)done,
           took / (double)done);
    fflush(stdout);
}

/* Does nothing for ARMCI for so long. */
static void compute_for(double ns)
{
    volatile double number = 1;
    for (double start = now_ns(); now_ns() - start < ns;)
        for (int i = 0; i < 10000; i++)
            number = number * 1.0000001 + 1e-9;
}

static double *local_buffer(void);

/* All rows in which process 0 works on process 1. */
static void operations(int rank, int size)
{
    void **targets = calloc((size_t)size, sizeof *targets),
         **counters = calloc((size_t)size, sizeof *counters);
    require(targets && counters && ARMCI_Malloc(targets, LONGEST) == 0 &&
                ARMCI_Malloc(counters, 64) == 0 && ARMCI_Create_mutexes(rank == 1) == 0,
            "malloc", LONGEST, "failed");
    target = targets[1];
    counter = counters[1];
    memset(counters[rank], 0, 64);
    source = local_buffer();
    destination = local_buffer();
    ARMCI_Barrier();
    if (rank == 0) {
        for (int i = 0; i < SIZE_COUNT; i++)
            rows_of_size(SIZES[i], 1000003.0 * (i + 1));
        strided_row();
        fetch_add_row();
        row("lock", 0, lock_batch, false);
        ARMCI_Barrier();
        fetch_add_busy_row();
    } else {
        ARMCI_Barrier();
        compute_for(BUSY_NS);
    }
    ARMCI_Barrier();
    ARMCI_Destroy_mutexes();
    ARMCI_Free(counters[rank]);
    ARMCI_Free(targets[rank]);
    free(counters);
    free(targets);
}

/*
 * Local memory half a page from where collective memory begins: some processors (AMD's Zen 4) copy
 * ten times slower to an address that is just behind the source's within a page, which would
 * measure the allocator's luck.
 */
static double *local_buffer(void)
{
    char *memory = ARMCI_Malloc_local(LONGEST + 2 * PAGE);
    require(memory != NULL, "malloc_local", LONGEST, "failed");
    return (double *)(memory + (PAGE - (uintptr_t)memory % PAGE) + PAGE / 2);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    ARMCI_Init();
    int rank, size;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    require(size >= 2, "start", 0, "needs two processes");

    bool only_barrier = argc > 1 && strcmp(argv[1], "barrier") == 0;
    if (rank == 0)
        printf("bench,op,bytes,median_ns,min_ns\n");
    if (!only_barrier)
        operations(rank, size);
    ARMCI_Barrier();
    if (rank == 0) {
        char op[32] = "barrier";
        if (size != 2)
            snprintf(op, sizeof op, "barrier-%d", size);
        row(op, 0, barrier_batch, true);
        timed(barrier_batch, 0, 0, true);
    } else {
        uint64_t count = 1;
        while (count > 0) {
            MPI_Bcast(&count, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
            barrier_batch(0, count);
        }
    }

    ARMCI_Finalize();
    MPI_Finalize();
    return 0;
}
