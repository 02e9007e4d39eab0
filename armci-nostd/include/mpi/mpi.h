/*
 * As much of MPI as ARMCI programs use around ARMCI, on armci_msg_*: for programs that start by
 * MPI_Init, ask for rank and size, and broadcast or reduce a few numbers. It is no MPI: one
 * communicator of all ranks and one of the rank alone, blocking calls, basic types, no errors but
 * those that end the job. Put this folder on the include path only where there is no MPI.
 */
#ifndef XENOLITH_MPI_H
#define XENOLITH_MPI_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef int MPI_Comm;
typedef int MPI_Datatype;
typedef int MPI_Op;

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
#define MPI_MAX_PROCESSOR_NAME 128
#define MPI_MAX_ERROR_STRING 64

#define MPI_COMM_NULL 0
#define MPI_COMM_WORLD 1
#define MPI_COMM_SELF 2

#define MPI_ANY_SOURCE (-1)
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

#include "../message.h"

static inline int MPI_Init(int *argc, char ***argv)
{
    armci_msg_init(argc, argv);
    return MPI_SUCCESS;
}

static inline int MPI_Init_thread(int *argc, char ***argv, int required, int *provided)
{
    *provided = required < MPI_THREAD_SERIALIZED ? required : MPI_THREAD_SERIALIZED;
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
    if (comm != MPI_COMM_WORLD && comm != MPI_COMM_SELF)
        return MPI_ERR_COMM;
    *rank = comm == MPI_COMM_SELF ? 0 : armci_msg_me();
    return MPI_SUCCESS;
}

static inline int MPI_Comm_size(MPI_Comm comm, int *size)
{
    if (comm != MPI_COMM_WORLD && comm != MPI_COMM_SELF)
        return MPI_ERR_COMM;
    *size = comm == MPI_COMM_SELF ? 1 : armci_msg_nproc();
    return MPI_SUCCESS;
}

/* The same ranks; messages are not kept apart. */
static inline int MPI_Comm_dup(MPI_Comm comm, MPI_Comm *copy)
{
    *copy = comm;
    return MPI_SUCCESS;
}

static inline int MPI_Comm_free(MPI_Comm *comm)
{
    *comm = MPI_COMM_NULL;
    return MPI_SUCCESS;
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
    if (comm == MPI_COMM_WORLD)
        armci_msg_barrier();
    return comm == MPI_COMM_WORLD || comm == MPI_COMM_SELF ? MPI_SUCCESS : MPI_ERR_COMM;
}

static inline int MPI_Bcast(void *buffer, int count, MPI_Datatype type, int root, MPI_Comm comm)
{
    if (comm == MPI_COMM_WORLD)
        armci_msg_brdcst(buffer, count * (type & 0xff), root);
    return comm == MPI_COMM_WORLD || comm == MPI_COMM_SELF ? MPI_SUCCESS : MPI_ERR_COMM;
}

static inline int MPI_Send(const void *buffer, int count, MPI_Datatype type, int to, int tag,
                           MPI_Comm comm)
{
    if (comm != MPI_COMM_WORLD)
        return MPI_ERR_COMM;
    armci_msg_snd(tag, (void *)(size_t)buffer, count * (type & 0xff), to);
    return MPI_SUCCESS;
}

static inline int MPI_Recv(void *buffer, int count, MPI_Datatype type, int from, int tag,
                           MPI_Comm comm, MPI_Status *status)
{
    int bytes = 0;
    if (comm != MPI_COMM_WORLD)
        return MPI_ERR_COMM;
    if (from == MPI_ANY_SOURCE)
        from = armci_msg_rcvany(tag, buffer, count * (type & 0xff), &bytes);
    else
        armci_msg_rcv(tag, buffer, count * (type & 0xff), &bytes, from);
    if (status) {
        status->MPI_SOURCE = from;
        status->MPI_TAG = tag;
        status->MPI_ERROR = MPI_SUCCESS;
        status->bytes = bytes;
    }
    return MPI_SUCCESS;
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
                                               MPI_Op op)
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
    armci_msg_llgop(wide, count, (char *)(size_t)xenolith_mpi_op(op));
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
    if (!xenolith_mpi_op(op) || ((type & 0x300) == 0x300 && op > MPI_PROD))
        return MPI_ERR_OP;
    if (comm != MPI_COMM_WORLD && comm != MPI_COMM_SELF)
        return MPI_ERR_COMM;
    if (count < 0)
        return MPI_ERR_COUNT;
    if (from != MPI_IN_PLACE)
        memcpy(to, from, (size_t)count * (size_t)(type & 0xff));
    if (comm == MPI_COMM_SELF || count == 0)
        return MPI_SUCCESS;
    if (type == MPI_DOUBLE)
        armci_msg_dgop((double *)to, count, (char *)(size_t)xenolith_mpi_op(op));
    else if (type == MPI_FLOAT)
        armci_msg_fgop((float *)to, count, (char *)(size_t)xenolith_mpi_op(op));
    else
        return xenolith_mpi_reduce_integers((unsigned char *)to, count, type, op);
    return MPI_SUCCESS;
}

/* The result at `root` only. */
static inline int MPI_Reduce(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op,
                             int root, MPI_Comm comm)
{
    size_t bytes = (size_t)(count > 0 ? count : 0) * (size_t)(type & 0xff);
    void *result;
    int outcome;
    if (armci_msg_me() == root || comm == MPI_COMM_SELF)
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
    int bytes = to_count * (to_type & 0xff), size = comm == MPI_COMM_WORLD ? armci_msg_nproc() : 1;
    int rank = comm == MPI_COMM_WORLD ? armci_msg_me() : 0;
    if (comm != MPI_COMM_WORLD && comm != MPI_COMM_SELF)
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
    void *all;
    if (comm == MPI_COMM_SELF || armci_msg_me() == root)
        return MPI_Allgather(from, count, type, to, to_count, to_type, comm);
    all = malloc(bytes * (size_t)armci_msg_nproc() + 1);
    if (!all)
        return MPI_ERR_OTHER;
    MPI_Allgather(from, count, type, all, count, type, comm);
    free(all);
    return MPI_SUCCESS;
}

#endif
