/*
 * Threads of one rank that call at once: puts, atomics, messages, and a thread that waits for what
 * another one of the same rank brings about. Not for Xen, where there is one thread.
 */
#include <mpi.h>

#include <armci.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, ROUNDS = 2000, BYTES = 4096 };

static int me, size, next;
static char **at;
static long **counters;
static int failures;

static void *puts_and_counts(void *slot)
{
    char local[BYTES], back[BYTES];
    long offset = BYTES * (long)*(int *)slot;
    for (int i = 0; i < BYTES; i++)
        local[i] = (char)(i * 7 + me + *(int *)slot);
    for (int i = 0; i < ROUNDS; i++) {
        armci_hdl_t handle;
        long before;
        ARMCI_INIT_HANDLE(&handle);
        ARMCI_NbPut(local, at[next] + offset, BYTES, next, &handle);
        ARMCI_Rmw(ARMCI_FETCH_AND_ADD_LONG, &before, counters[0], 1, 0);
        ARMCI_Wait(&handle);
    }
    ARMCI_Get(at[next] + offset, back, BYTES, next);
    for (int i = 0; i < BYTES; i++)
        if (back[i] != local[i])
            __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* Waits for the rank before, whose other thread sends. */
static void *asks(void *tag)
{
    for (int i = 0; i < ROUNDS / 10; i++) {
        int number = -1, length = 0;
        armci_msg_rcv(*(int *)tag, &number, sizeof number, &length, (me + size - 1) % size);
        if (number != i || length != sizeof number)
            __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void *answers(void *tag)
{
    for (int i = 0; i < ROUNDS / 10; i++)
        armci_msg_snd(*(int *)tag, &i, sizeof i, next);
    return NULL;
}

static void *barrier(void *nothing)
{
    ARMCI_Barrier();
    return nothing;
}

static void run(void *(*first)(void *), void *(*second)(void *))
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = first == second ? i : i / 2;
        pthread_create(&threads[i], NULL, i % 2 ? second : first, &numbers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
    int provided = -1, all = 0;
    long total = 0;
    pthread_t waits;

    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
    if (provided != MPI_THREAD_MULTIPLE)
        failures++;
    ARMCI_Init_thread(MPI_THREAD_MULTIPLE);
    MPI_Comm_rank(MPI_COMM_WORLD, &me);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    next = (me + 1) % size;
    at = calloc((size_t)size, sizeof *at);
    counters = calloc((size_t)size, sizeof *counters);
    ARMCI_Malloc((void **)at, THREADS * BYTES);
    ARMCI_Malloc((void **)counters, me == 0 ? (long)sizeof(long) : 0);

    run(puts_and_counts, puts_and_counts);
    ARMCI_Barrier();
    ARMCI_Get(counters[0], &total, sizeof total, 0);
    if (total != (long)size * THREADS * ROUNDS)
        failures++;
    run(asks, answers);

    /* Rank 0 is in the barrier; what lets rank 1 come there is from another thread of rank 0. */
    pthread_create(&waits, NULL, barrier, NULL);
    if (me == 0)
        ARMCI_Put(at[0], at[size - 1], 1, size - 1);
    pthread_join(waits, NULL);
    if (me == 0) {
        pthread_create(&waits, NULL, barrier, NULL);
        armci_msg_snd(99, &me, sizeof me, 1 % size);
    }
    if (me == 1 % size)
        armci_msg_rcv(99, &total, sizeof total, NULL, 0);
    if (me == 0)
        pthread_join(waits, NULL);
    else
        ARMCI_Barrier();
    MPI_Allreduce(&failures, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (me == 0)
        printf("threads: %s\n", all == 0 ? "all is as it should be" : "FAILED");
    ARMCI_Finalize();
    MPI_Finalize();
    return all != 0;
}
