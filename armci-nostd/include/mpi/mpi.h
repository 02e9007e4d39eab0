/*
 * As much of MPI as ARMCI programs use around ARMCI, on armci_msg_*: for programs that start by
 * MPI_Init, ask for rank and size, and broadcast or reduce a few numbers, and for what Global
 * Arrays asks of it. It is no MPI: messages are found by sender and tag, whatever their
 * communicator; basic types; errors are returned or end the job, whatever the error handler. Put
 * this folder on the include path only where there is no MPI.
 */
#ifndef XENOLITH_MPI_H
#define XENOLITH_MPI_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef int MPI_Comm;
typedef int MPI_Datatype;
typedef int MPI_Op;
typedef int MPI_Fint;
typedef int MPI_Errhandler;
/* A receive under way; a send is never under way. */
typedef int MPI_Request;
#define MPI_REQUEST_NULL 0

#define MPI_VERSION 1
#define MPI_SUBVERSION 3

#define MPI_SUCCESS 0
#define MPI_ERR_BUFFER 1
#define MPI_ERR_COUNT 2
#define MPI_ERR_TYPE 3
#define MPI_ERR_COMM 5
#define MPI_ERR_ROOT 7
#define MPI_ERR_OP 9
#define MPI_ERR_OTHER 15
#define MPI_ERRORS_ARE_FATAL 1
#define MPI_ERRORS_RETURN 2
#define MPI_MAX_PROCESSOR_NAME 128
#define MPI_MAX_ERROR_STRING 64

#define MPI_COMM_NULL 0
#define MPI_COMM_WORLD 1
#define MPI_COMM_SELF 2

#define MPI_ANY_SOURCE (-1)
#define MPI_ANY_TAG (-1)
#define MPI_UNDEFINED (-32766)
#define MPI_IN_PLACE ((void *)-1)

#define MPI_THREAD_SINGLE 0
#define MPI_THREAD_FUNNELED 1
#define MPI_THREAD_SERIALIZED 2
#define MPI_THREAD_MULTIPLE 3

/* The size in the lower byte, the kind above it: 1 signed, 2 unsigned, 3 floating-point. */
#define MPI_DATATYPE_NULL 0
#define MPI_CHAR (0x100 | (int)sizeof(char))
#define MPI_SIGNED_CHAR MPI_CHAR
#define MPI_BYTE (0x200 | 1)
#define MPI_UNSIGNED_CHAR MPI_BYTE
#define MPI_SHORT (0x100 | (int)sizeof(short))
#define MPI_UNSIGNED_SHORT (0x200 | (int)sizeof(short))
#define MPI_INT (0x100 | (int)sizeof(int))
#define MPI_UNSIGNED (0x200 | (int)sizeof(int))
#define MPI_LONG (0x100 | (int)sizeof(long))
#define MPI_UNSIGNED_LONG (0x200 | (int)sizeof(long))
#define MPI_LONG_LONG (0x100 | (int)sizeof(long long))
#define MPI_LONG_LONG_INT MPI_LONG_LONG
#define MPI_UNSIGNED_LONG_LONG (0x200 | (int)sizeof(long long))
#define MPI_FLOAT (0x300 | (int)sizeof(float))
#define MPI_DOUBLE (0x300 | (int)sizeof(double))
#define MPI_INT8_T (0x100 | 1)
#define MPI_INT16_T (0x100 | 2)
#define MPI_INT32_T (0x100 | 4)
#define MPI_INT64_T (0x100 | 8)
#define MPI_UINT8_T (0x200 | 1)
#define MPI_UINT16_T (0x200 | 2)
#define MPI_UINT32_T (0x200 | 4)
#define MPI_UINT64_T (0x200 | 8)
#define MPI_AINT (0x100 | (int)sizeof(ptrdiff_t))

#define MPI_OP_NULL 0
#define MPI_MAX 1
#define MPI_MIN 2
#define MPI_SUM 3
#define MPI_PROD 4
#define MPI_LAND 5
#define MPI_BAND 6
#define MPI_LOR 7
#define MPI_BOR 8

typedef struct {
    int MPI_SOURCE;
    int MPI_TAG;
    int MPI_ERROR;
    int bytes; /* length of the message */
} MPI_Status;
#define MPI_STATUS_IGNORE ((MPI_Status *)0)
#define MPI_STATUSES_IGNORE ((MPI_Status *)0)

#include "../message.h"

/* What the functions below are made of; not for programs. */
#ifdef __cplusplus
extern "C" {
#endif
extern int xenolith_mpi_group(MPI_Comm comm);
extern int xenolith_mpi_place(MPI_Comm comm, int *rank, int *size);
extern int xenolith_mpi_world_rank(MPI_Comm comm, int rank);
extern int xenolith_mpi_split(MPI_Comm comm, int color, int key, MPI_Comm *made);
extern int xenolith_mpi_free(MPI_Comm comm);
extern MPI_Request xenolith_mpi_begin_receive(void *buffer, int bytes, int from, int tag,
                                              MPI_Comm comm);
extern int xenolith_mpi_has_received(MPI_Request request, MPI_Status *status);
extern void xenolith_mpi_wait_received(MPI_Request request, MPI_Status *status);
extern void xenolith_mpi_receive(void *buffer, int bytes, int from, int tag, MPI_Comm comm,
                                 MPI_Status *status);
extern int xenolith_mpi_probe(int from, int tag, MPI_Comm comm, MPI_Status *status);
#ifdef __cplusplus
}
#endif

static inline int MPI_Init(int *argc, char ***argv)
{
    armci_msg_init(argc, argv);
    return MPI_SUCCESS;
}

static inline int MPI_Init_thread(int *argc, char ***argv, int required, int *provided)
{
    *provided = required;
    return MPI_Init(argc, argv);
}

static inline int MPI_Initialized(int *flag)
{
    *flag = armci_msg_initialized();
    return MPI_SUCCESS;
}

static inline int MPI_Finalize(void)
{
    armci_msg_finalize();
    return MPI_SUCCESS;
}

static inline int MPI_Abort(MPI_Comm comm, int code)
{
    (void)comm;
    armci_msg_abort(code);
    return MPI_ERR_OTHER;
}

static inline int MPI_Comm_rank(MPI_Comm comm, int *rank)
{
    return xenolith_mpi_place(comm, rank, NULL) == 0 ? MPI_SUCCESS : MPI_ERR_COMM;
}

static inline int MPI_Comm_size(MPI_Comm comm, int *size)
{
    return xenolith_mpi_place(comm, NULL, size) == 0 ? MPI_SUCCESS : MPI_ERR_COMM;
}

/* Collective: ranks that give the same colour, in the order of their keys. */
static inline int MPI_Comm_split(MPI_Comm comm, int color, int key, MPI_Comm *made)
{
    return xenolith_mpi_split(comm, color, key, made) == 0 ? MPI_SUCCESS : MPI_ERR_COMM;
}

/* The same ranks; messages are not kept apart. */
static inline int MPI_Comm_dup(MPI_Comm comm, MPI_Comm *copy)
{
    if (comm != MPI_COMM_WORLD && comm != MPI_COMM_SELF)
        return MPI_Comm_split(comm, 0, 0, copy);
    *copy = comm;
    return MPI_SUCCESS;
}

/* Collective. */
static inline int MPI_Comm_free(MPI_Comm *comm)
{
    int outcome = xenolith_mpi_free(*comm);
    *comm = MPI_COMM_NULL;
    return outcome == 0 ? MPI_SUCCESS : MPI_ERR_COMM;
}

static inline MPI_Fint MPI_Comm_c2f(MPI_Comm comm)
{
    return comm;
}

static inline MPI_Comm MPI_Comm_f2c(MPI_Fint comm)
{
    return comm;
}

/* Changes nothing. */
static inline int MPI_Comm_set_errhandler(MPI_Comm comm, MPI_Errhandler handler)
{
    (void)handler;
    return xenolith_mpi_place(comm, NULL, NULL) == 0 ? MPI_SUCCESS : MPI_ERR_COMM;
}

static inline int MPI_Errhandler_set(MPI_Comm comm, MPI_Errhandler handler)
{
    return MPI_Comm_set_errhandler(comm, handler);
}

static inline double MPI_Wtime(void)
{
    return armci_timer();
}

static inline double MPI_Wtick(void)
{
    return 1e-9;
}

static inline int MPI_Get_processor_name(char *name, int *length)
{
    strcpy(name, "xenolith");
    *length = (int)strlen(name);
    return MPI_SUCCESS;
}

static inline int MPI_Error_string(int code, char *text, int *length)
{
    strcpy(text, code == MPI_SUCCESS ? "no error" : "wrong argument");
    *length = (int)strlen(text);
    return MPI_SUCCESS;
}

static inline int MPI_Type_size(MPI_Datatype type, int *size)
{
    *size = type & 0xff;
    return type == MPI_DATATYPE_NULL ? MPI_ERR_TYPE : MPI_SUCCESS;
}

static inline int MPI_Barrier(MPI_Comm comm)
{
    ARMCI_Group group = xenolith_mpi_group(comm);
    if (group >= 0)
        armci_msg_group_barrier(&group);
    return group >= 0 || comm == MPI_COMM_SELF ? MPI_SUCCESS : MPI_ERR_COMM;
}

static inline int MPI_Bcast(void *buffer, int count, MPI_Datatype type, int root, MPI_Comm comm)
{
    ARMCI_Group group = xenolith_mpi_group(comm);
    if (group >= 0) {
        root = xenolith_mpi_world_rank(comm, root);
        if (root < 0)
            return MPI_ERR_ROOT;
        armci_msg_group_bcast_scope(SCOPE_ALL, buffer, count * (type & 0xff), root, &group);
    }
    return group >= 0 || comm == MPI_COMM_SELF ? MPI_SUCCESS : MPI_ERR_COMM;
}

static inline int MPI_Send(const void *buffer, int count, MPI_Datatype type, int to, int tag,
                           MPI_Comm comm)
{
    if (xenolith_mpi_place(comm, NULL, NULL) != 0)
        return MPI_ERR_COMM;
    to = comm == MPI_COMM_SELF ? armci_msg_me() : xenolith_mpi_world_rank(comm, to);
    armci_msg_snd(tag, (void *)(size_t)buffer, count * (type & 0xff), to);
    return MPI_SUCCESS;
}

static inline int MPI_Recv(void *buffer, int count, MPI_Datatype type, int from, int tag,
                           MPI_Comm comm, MPI_Status *status)
{
    if (xenolith_mpi_place(comm, NULL, NULL) != 0)
        return MPI_ERR_COMM;
    xenolith_mpi_receive(buffer, count * (type & 0xff), from, tag, comm, status);
    return MPI_SUCCESS;
}

/* A send does not wait for its receiver, so that it has ended on return. */
static inline int MPI_Isend(const void *buffer, int count, MPI_Datatype type, int to, int tag,
                            MPI_Comm comm, MPI_Request *request)
{
    *request = MPI_REQUEST_NULL;
    return MPI_Send(buffer, count, type, to, tag, comm);
}

/* Goes on in MPI_Wait, MPI_Test, MPI_Recv and MPI_Iprobe. */
static inline int MPI_Irecv(void *buffer, int count, MPI_Datatype type, int from, int tag,
                            MPI_Comm comm, MPI_Request *request)
{
    if (xenolith_mpi_place(comm, NULL, NULL) != 0)
        return MPI_ERR_COMM;
    *request = xenolith_mpi_begin_receive(buffer, count * (type & 0xff), from, tag, comm);
    return MPI_SUCCESS;
}

/* The status of a request that is none, as a send's is on return. */
static inline void xenolith_mpi_empty(MPI_Status *status)
{
    if (!status)
        return;
    status->MPI_SOURCE = MPI_ANY_SOURCE;
    status->MPI_TAG = MPI_ANY_TAG;
    status->MPI_ERROR = MPI_SUCCESS;
    status->bytes = 0;
}

static inline int MPI_Wait(MPI_Request *request, MPI_Status *status)
{
    if (*request == MPI_REQUEST_NULL)
        xenolith_mpi_empty(status);
    else
        xenolith_mpi_wait_received(*request, status);
    *request = MPI_REQUEST_NULL;
    return MPI_SUCCESS;
}

static inline int MPI_Waitall(int count, MPI_Request *requests, MPI_Status *statuses)
{
    for (int i = 0; i < count; i++)
        MPI_Wait(&requests[i], statuses ? &statuses[i] : MPI_STATUS_IGNORE);
    return count < 0 ? MPI_ERR_COUNT : MPI_SUCCESS;
}

static inline int MPI_Test(MPI_Request *request, int *flag, MPI_Status *status)
{
    *flag = *request == MPI_REQUEST_NULL || xenolith_mpi_has_received(*request, status);
    if (*request == MPI_REQUEST_NULL)
        xenolith_mpi_empty(status);
    if (*flag)
        *request = MPI_REQUEST_NULL;
    return MPI_SUCCESS;
}

static inline int MPI_Iprobe(int from, int tag, MPI_Comm comm, int *flag, MPI_Status *status)
{
    if (xenolith_mpi_place(comm, NULL, NULL) != 0)
        return MPI_ERR_COMM;
    *flag = xenolith_mpi_probe(from, tag, comm, status);
    return MPI_SUCCESS;
}

static inline int MPI_Probe(int from, int tag, MPI_Comm comm, MPI_Status *status)
{
    int flag = 0, outcome = MPI_SUCCESS;
    while (!flag && outcome == MPI_SUCCESS)
        outcome = MPI_Iprobe(from, tag, comm, &flag, status);
    return outcome;
}

static inline int MPI_Get_count(const MPI_Status *status, MPI_Datatype type, int *count)
{
    int size = type & 0xff;
    if (size == 0)
        return MPI_ERR_TYPE;
    *count = status->bytes % size ? MPI_UNDEFINED : status->bytes / size;
    return MPI_SUCCESS;
}

static inline const char *xenolith_mpi_op(MPI_Op op)
{
    static const char *const names[] = {NULL, "max", "min", "+", "*", "land", "band", "lor", "bor"};
    return op > 0 && op <= MPI_BOR ? names[op] : NULL;
}

/* Integers travel as long long; unsigned 64-bit ones with the top bit turned, to keep order. */
static inline int xenolith_mpi_reduce_integers(unsigned char *x, int count, MPI_Datatype type,
                                               MPI_Op op, ARMCI_Group *group)
{
    int size = type & 0xff, is_signed = (type & 0x300) == 0x100;
    int turned = !is_signed && (op == MPI_MAX || op == MPI_MIN);
    const unsigned long long top = 1ULL << 63;
    long long *wide = (long long *)malloc((size_t)(count ? count : 1) * sizeof *wide);
    if (!wide)
        return MPI_ERR_OTHER;
    for (int i = 0; i < count; i++, x += size) {
        unsigned long long bits = 0;
        memcpy(&bits, x, (size_t)size);
        if (is_signed && size < 8 && bits >> (8 * size - 1))
            bits |= ~0ULL << (8 * size);
        wide[i] = (long long)(turned ? bits ^ top : bits);
    }
    armci_msg_group_llgop(wide, count, (char *)(size_t)xenolith_mpi_op(op), group);
    x -= (ptrdiff_t)count * size;
    for (int i = 0; i < count; i++, x += size) {
        unsigned long long bits = (unsigned long long)wide[i] ^ (turned ? top : 0);
        memcpy(x, &bits, (size_t)size);
    }
    free(wide);
    return MPI_SUCCESS;
}

static inline int MPI_Allreduce(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op,
                                MPI_Comm comm)
{
    ARMCI_Group group = xenolith_mpi_group(comm);
    if (!xenolith_mpi_op(op) || ((type & 0x300) == 0x300 && op > MPI_PROD))
        return MPI_ERR_OP;
    if (group < 0 && comm != MPI_COMM_SELF)
        return MPI_ERR_COMM;
    if (count < 0)
        return MPI_ERR_COUNT;
    if (from != MPI_IN_PLACE)
        memcpy(to, from, (size_t)count * (size_t)(type & 0xff));
    if (comm == MPI_COMM_SELF || count == 0)
        return MPI_SUCCESS;
    if (type == MPI_DOUBLE)
        armci_msg_group_dgop((double *)to, count, (char *)(size_t)xenolith_mpi_op(op), &group);
    else if (type == MPI_FLOAT)
        armci_msg_group_fgop((float *)to, count, (char *)(size_t)xenolith_mpi_op(op), &group);
    else
        return xenolith_mpi_reduce_integers((unsigned char *)to, count, type, op,
                                            &group);
    return MPI_SUCCESS;
}

/* The result at `root` only. */
static inline int MPI_Reduce(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op,
                             int root, MPI_Comm comm)
{
    size_t bytes = (size_t)(count > 0 ? count : 0) * (size_t)(type & 0xff);
    void *result;
    int outcome, rank = -1;
    if (MPI_Comm_rank(comm, &rank) != MPI_SUCCESS)
        return MPI_ERR_COMM;
    if (rank == root)
        return MPI_Allreduce(from, to, count, type, op, comm);
    result = malloc(bytes ? bytes : 1);
    if (!result)
        return MPI_ERR_OTHER;
    outcome = MPI_Allreduce(from, result, count, type, op, comm);
    free(result);
    return outcome;
}

/* Each rank's `count` elements, in the order of the ranks, at all. */
static inline int MPI_Allgather(const void *from, int count, MPI_Datatype type, void *to,
                                int to_count, MPI_Datatype to_type, MPI_Comm comm)
{
    int bytes = to_count * (to_type & 0xff), rank = 0, size = 1;
    if (xenolith_mpi_place(comm, &rank, &size) != 0)
        return MPI_ERR_COMM;
    if (from != MPI_IN_PLACE)
        memmove((char *)to + (size_t)rank * (size_t)bytes, from,
                (size_t)count * (size_t)(type & 0xff));
    for (int root = 0; root < size; root++)
        MPI_Bcast((char *)to + (size_t)root * (size_t)bytes, bytes, MPI_BYTE, root, comm);
    return MPI_SUCCESS;
}

/* Each rank's elements at `root`, in the order of the ranks. */
static inline int MPI_Gather(const void *from, int count, MPI_Datatype type, void *to, int to_count,
                             MPI_Datatype to_type, int root, MPI_Comm comm)
{
    size_t bytes = (size_t)count * (size_t)(type & 0xff);
    int rank = 0, size = 1;
    void *all;
    if (xenolith_mpi_place(comm, &rank, &size) != 0)
        return MPI_ERR_COMM;
    if (rank == root)
        return MPI_Allgather(from, count, type, to, to_count, to_type, comm);
    all = malloc(bytes * (size_t)size + 1);
    if (!all)
        return MPI_ERR_OTHER;
    MPI_Allgather(from, count, type, all, count, type, comm);
    free(all);
    return MPI_SUCCESS;
}

#endif
