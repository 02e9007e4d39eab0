/* A program that uses MPI around ARMCI, as most do: with the mpi.h that is not MPI. */
#include <mpi.h>

#include <armci.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int failures;

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            printf("mpi.c:%d: not %s\n", __LINE__, #condition); \
            failures++; \
        } \
    } while (0)

int main(int argc, char **argv)
{
    int flag = 1, rank, size, provided;
    MPI_Initialized(&flag);
    CHECK(flag == 0);
    CHECK(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided) == MPI_SUCCESS &&
          provided == MPI_THREAD_SERIALIZED);
    MPI_Initialized(&flag);
    CHECK(flag == 1);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    int alone = -1;
    CHECK(MPI_Comm_size(MPI_COMM_SELF, &alone) == MPI_SUCCESS && alone == 1);
    CHECK(MPI_Comm_size(MPI_COMM_NULL, &alone) == MPI_ERR_COMM);
    CHECK(ARMCI_Init_thread(MPI_THREAD_SINGLE) == 0);
    CHECK(rank == armci_msg_me() && size == armci_msg_nproc());

    double start = MPI_Wtime();
    CHECK(MPI_Barrier(MPI_COMM_WORLD) == MPI_SUCCESS && MPI_Barrier(MPI_COMM_SELF) == MPI_SUCCESS);
    CHECK(MPI_Wtime() >= start && MPI_Wtick() > 0);

    uint64_t word = rank == size - 1 ? UINT64_MAX - 5 : 0;
    CHECK(MPI_Bcast(&word, 1, MPI_UINT64_T, size - 1, MPI_COMM_WORLD) == MPI_SUCCESS &&
          word == UINT64_MAX - 5);

    int number = rank, sum = -1;
    CHECK(MPI_Allreduce(&number, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD) == MPI_SUCCESS &&
          sum == size * (size - 1) / 2);
    double numbers[2] = {rank, -rank}, most[2];
    MPI_Allreduce(numbers, most, 2, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    CHECK(most[0] == size - 1 && most[1] == 0);
    MPI_Allreduce(MPI_IN_PLACE, numbers, 2, MPI_DOUBLE, MPI_MIN, MPI_COMM_WORLD);
    CHECK(numbers[0] == 0 && numbers[1] == 1 - size);
    float halves = 0.5F, product;
    MPI_Allreduce(&halves, &product, 1, MPI_FLOAT, MPI_PROD, MPI_COMM_WORLD);
    CHECK(product == 1.0F / (float)(1 << size));
    /* Unsigned numbers with the top bit set are greater, signed ones less. */
    uint64_t high = rank == 0 ? 1ULL << 63 : (uint64_t)rank, highest;
    MPI_Allreduce(&high, &highest, 1, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
    CHECK(highest == 1ULL << 63);
    int64_t low = rank == 0 ? INT64_MIN : rank, lowest;
    MPI_Allreduce(&low, &lowest, 1, MPI_INT64_T, MPI_MIN, MPI_COMM_WORLD);
    CHECK(lowest == INT64_MIN);
    short small = (short)(-rank), smallest;
    MPI_Allreduce(&small, &smallest, 1, MPI_SHORT, MPI_MIN, MPI_COMM_WORLD);
    CHECK(smallest == 1 - size);
    unsigned char bits = (unsigned char)(1 << rank % 8), all_bits;
    MPI_Allreduce(&bits, &all_bits, 1, MPI_BYTE, MPI_BOR, MPI_COMM_WORLD);
    CHECK(all_bits == (size >= 8 ? 255 : (1 << size) - 1));
    int any = rank == 0, every;
    MPI_Allreduce(&any, &every, 1, MPI_INT, MPI_LAND, MPI_COMM_WORLD);
    CHECK(every == (size == 1));
    MPI_Allreduce(&number, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_SELF);
    CHECK(sum == rank);
    CHECK(MPI_Allreduce(numbers, most, 1, MPI_DOUBLE, MPI_BOR, MPI_COMM_WORLD) == MPI_ERR_OP);

    sum = -1;
    MPI_Reduce(&number, &sum, 1, MPI_INT, MPI_SUM, size - 1, MPI_COMM_WORLD);
    CHECK(sum == (rank == size - 1 ? size * (size - 1) / 2 : -1));
    int *gathered = calloc((size_t)size, sizeof *gathered);
    number = 3 * rank;
    MPI_Allgather(&number, 1, MPI_INT, gathered, 1, MPI_INT, MPI_COMM_WORLD);
    for (int i = 0; i < size; i++)
        CHECK(gathered[i] == 3 * i);
    number = 5 * rank;
    MPI_Gather(&number, 1, MPI_INT, rank == 0 ? gathered : NULL, 1, MPI_INT, 0, MPI_COMM_WORLD);
    for (int i = 0; rank == 0 && i < size; i++)
        CHECK(gathered[i] == 5 * i);
    free(gathered);

    MPI_Status status;
    int count = -1;
    long message[3] = {rank, 2, 3}, received[5];
    MPI_Send(message, 3, MPI_LONG, (rank + 1) % size, 42, MPI_COMM_WORLD);
    MPI_Recv(received, 5, MPI_LONG, MPI_ANY_SOURCE, 42, MPI_COMM_WORLD, &status);
    MPI_Get_count(&status, MPI_LONG, &count);
    CHECK(status.MPI_SOURCE == (rank + size - 1) % size && count == 3 &&
          received[0] == status.MPI_SOURCE);

    CHECK(ARMCI_Finalize() == 0);
    MPI_Allreduce(&failures, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0)
        printf("mpi: %s\n", sum == 0 ? "all is as it should be" : "FAILED");
    MPI_Finalize();
    return sum != 0;
}
