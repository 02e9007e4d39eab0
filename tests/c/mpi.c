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

/* Before ARMCI_Init: it takes no part of the ranks, in this or another order. */
static void parts(int rank, int size)
{
    MPI_Comm part, back, none;
    int own = -1, members = -1, sum = -1, to = rank;
    CHECK(MPI_Comm_split(MPI_COMM_WORLD, rank % 2, 0, &part) == MPI_SUCCESS);
    MPI_Comm_rank(part, &own);
    MPI_Comm_size(part, &members);
    CHECK(own == rank / 2 && members == (size + 1 - rank % 2) / 2);
    CHECK((ARMCI_Init_mpi_comm(part) < 0) == (size > 1));
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, part);
    CHECK(sum == members * (members - 1) + members * (rank % 2));
    MPI_Bcast(&to, 1, MPI_INT, members - 1, part);
    CHECK(to == 2 * (members - 1) + rank % 2);
    CHECK(MPI_Comm_f2c(MPI_Comm_c2f(part)) == part);
    CHECK(MPI_Comm_dup(part, &back) == MPI_SUCCESS && MPI_Barrier(back) == MPI_SUCCESS);
    CHECK(MPI_Comm_free(&back) == MPI_SUCCESS && back == MPI_COMM_NULL);
    CHECK(MPI_Comm_free(&part) == MPI_SUCCESS && MPI_Comm_rank(part, &own) == MPI_ERR_COMM);
    CHECK(MPI_Comm_split(MPI_COMM_WORLD, MPI_UNDEFINED, 0, &none) == MPI_SUCCESS &&
          none == MPI_COMM_NULL);
    MPI_Comm_split(MPI_COMM_WORLD, 0, -rank, &back);
    CHECK((ARMCI_Init_mpi_comm(back) < 0) == (size > 1));
    MPI_Comm_free(&back);
}

/* Receives that were begun first get what comes first, in whatever order they are waited for. */
static void requests(int rank, int size)
{
    MPI_Request receives[3], send;
    MPI_Status status;
    int to = (rank + 1) % size, from = (rank + size - 1) % size, here = 0, got[3] = {0}, bytes = -1;
    MPI_Irecv(&got[0], 1, MPI_INT, from, 7, MPI_COMM_WORLD, &receives[0]);
    MPI_Irecv(&got[1], 1, MPI_INT, MPI_ANY_SOURCE, 8, MPI_COMM_WORLD, &receives[1]);
    MPI_Irecv(&got[2], 1, MPI_INT, from, MPI_ANY_TAG, MPI_COMM_WORLD, &receives[2]);
    MPI_Test(&receives[0], &here, &status);
    for (int i = 1; i <= 4; i++) {
        int number = 10 * rank + i;
        MPI_Isend(&number, 1, MPI_INT, to, i == 2 ? 8 : 7, MPI_COMM_WORLD, &send);
        CHECK(MPI_Wait(&send, &status) == MPI_SUCCESS && send == MPI_REQUEST_NULL);
    }
    MPI_Wait(&receives[2], &status);
    CHECK(got[2] == 10 * from + 3 && status.MPI_SOURCE == from && status.MPI_TAG == 7);
    MPI_Waitall(2, receives, MPI_STATUSES_IGNORE);
    CHECK(got[0] == 10 * from + 1 && got[1] == 10 * from + 2 && receives[1] == MPI_REQUEST_NULL);
    for (here = 0; !here;)
        MPI_Iprobe(MPI_ANY_SOURCE, 7, MPI_COMM_WORLD, &here, &status);
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    CHECK(status.MPI_SOURCE == from && bytes == sizeof(int));
    MPI_Recv(&got[0], 1, MPI_INT, from, MPI_ANY_TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    CHECK(got[0] == 10 * from + 4);
    CHECK(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN) == MPI_SUCCESS);
}

static void communicators_of_groups(int size)
{
    ARMCI_Group world, alone;
    int members = -1, me = armci_msg_me();
    ARMCI_Group_get_world(&world);
    CHECK(armci_group_comm(&world) == MPI_COMM_WORLD && ARMCI_COMM_WORLD == MPI_COMM_WORLD);
    ARMCI_Group_create(1, &me, &alone);
    CHECK(MPI_Comm_size(armci_group_comm(&alone), &members) == MPI_SUCCESS && members == 1);
    ARMCI_Group_free(&alone);
    ARMCI_Group_create(0, NULL, &alone);
    CHECK(armci_group_comm(&alone) == MPI_COMM_NULL);
    MPI_Comm_size(ARMCI_COMM_WORLD, &members);
    CHECK(members == size);
}

int main(int argc, char **argv)
{
    int flag = 1, rank, size, provided;
    MPI_Initialized(&flag);
    CHECK(flag == 0);
    CHECK(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided) == MPI_SUCCESS &&
          provided == MPI_THREAD_MULTIPLE);
    MPI_Initialized(&flag);
    CHECK(flag == 1);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    int alone = -1;
    CHECK(MPI_Comm_size(MPI_COMM_SELF, &alone) == MPI_SUCCESS && alone == 1);
    CHECK(MPI_Comm_size(MPI_COMM_NULL, &alone) == MPI_ERR_COMM);
    parts(rank, size);
    CHECK(!ARMCI_Initialized() || size == 1);
    CHECK(ARMCI_Init_mpi_comm(MPI_COMM_WORLD) == 0);
    CHECK(ARMCI_Init_thread(MPI_THREAD_SINGLE) == 0);
    communicators_of_groups(size);
    requests(rank, size);
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
