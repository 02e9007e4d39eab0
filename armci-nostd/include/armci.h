/*
 * ARMCI 1.x for C: one-sided operations on the memory of other processes ("ranks").
 *
 * Names, values and layouts are those of ARMCI 1.x; what ARMCI-MPI and ComEx added later is here
 * too, where it is in use.
 *
 * Conventions, unless a comment says otherwise:
 * - A remote address is an address in the *other* process's space, out of the array that
 *   ARMCI_Malloc fills in. It must never be read or written directly: every process is a domain
 *   (node) of its own, and ARMCI_Same_node says so.
 * - Lengths, strides and `bytes` are in bytes; `proc` is a rank of the world, whatever group is the
 *   default.
 * - Functions return 0 when all is well and a negative FAIL code for wrong arguments, in which case
 *   nothing was moved. Functions without a return value end the job with one line that says what
 *   was wrong.
 * - Blocking put and accumulate: the local buffer may be reused on return; ARMCI_Fence tells when
 *   the data are there. Operations of one process on one target keep their order. Get: the data are
 *   here on return.
 * - Local buffers may lie anywhere (stack, heap, ARMCI memory). Any alignment will do, here and
 *   there, but for the words of read-modify-writes and the flags of puts.
 * - If the job has failed elsewhere, functions that cannot go on end the process.
 */
#ifndef XENOLITH_ARMCI_H
#define XENOLITH_ARMCI_H

#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- results */

#define FAIL -1  /* null or unusable local pointer */
#define FAIL2 -2 /* null or unusable remote pointer */
#define FAIL3 -3 /* negative length or count, or no whole number of elements */
#define FAIL4 -4 /* stride levels below 0 or above ARMCI_MAX_STRIDE_LEVEL, or a missing array */
#define FAIL5 -5 /* no such process, group, mutex or operation */
#define FAIL6 -6 /* the operation was refused */
#define FAIL7 -7 /* out of memory */
#define FAIL8 -8 /* not initialised */

/* ---------------------------------------------------------------- start and end */

/* Becomes a rank of the job; collective. More than one call is legal. */
extern int ARMCI_Init(void);
extern int ARMCI_Init_args(int *argc, char ***argv);
/*
 * As ARMCI_Init. `requested` is an MPI_THREAD_ level; all of them are granted: calls of one rank's
 * threads take turns.
 */
extern int ARMCI_Init_thread(int requested);
/* 1 between ARMCI_Init and ARMCI_Finalize, otherwise 0. */
extern int ARMCI_Initialized(void);
/*
 * Waits for all ranks, with their operations complete; collective. The messages of message.h still
 * work afterwards.
 */
extern int ARMCI_Finalize(void);
/* Releases what this process holds, without waiting for anybody: for error paths. */
extern void ARMCI_Cleanup(void);
/* Prints rank, message and code, and ends the job. */
extern void ARMCI_Error(const char *msg, int code);

#define armci_die(msg, code) ARMCI_Error((msg), (code))
#define armci_die2(msg, code1, code2) ((void)(code2), ARMCI_Error((msg), (code1)))

/* ---------------------------------------------------------------- memory */

typedef long armci_size_t;

/*
 * Collective: `bytes` of zeroed memory on this rank, reachable by all; ptr_arr[rank] is the address
 * at that rank. Ranks may ask for different sizes. Where a rank asked for 0 its pointer is NULL. If
 * any rank has no room all get FAIL7, and NULLs.
 */
extern int ARMCI_Malloc(void *ptr_arr[], armci_size_t bytes);
/*
 * Gives back this rank's part, by its own pointer; NULL is legal. Does not wait for others. The
 * memory is used again at the next collective allocation for which all ranks (of the group) have
 * given back theirs.
 */
extern int ARMCI_Free(void *ptr);
/*
 * Memory that operations reach without a copy, for use as local buffer. NULL if there is no room.
 * Not collective.
 */
extern void *ARMCI_Malloc_local(armci_size_t bytes);
extern int ARMCI_Free_local(void *ptr);
/* As those without _memdev: there is one kind of memory. `device` is ignored. */
extern int ARMCI_Malloc_memdev(void *ptr_arr[], armci_size_t bytes, const char *device);
extern int ARMCI_Free_memdev(void *ptr);

/* Memory that one rank makes, and tells others of by sending the structure. Not collective. */
typedef struct armci_meminfo_ds {
    char *armci_addr; /* its address, for operations */
    char *addr;       /* the same, for the creator */
    size_t size;      /* in bytes */
    int cpid;         /* the creator's rank */
    long idlist[128]; /* unused */
} armci_meminfo_t;

/* Makes it. `memflg` must be 0. */
extern void ARMCI_Memget(size_t bytes, armci_meminfo_t *meminfo, int memflg);
/* The address of its byte `offset`, for operations on rank `cpid`; NULL if that is outside. */
extern void *ARMCI_Memat(armci_meminfo_t *meminfo, long offset);
/* Gives up what ARMCI_Memat returned. */
extern void ARMCI_Memdt(armci_meminfo_t *meminfo, long offset);
/* Frees it, at its creator; elsewhere does nothing. */
extern void ARMCI_Memctl(armci_meminfo_t *meminfo);

/* Bounds of direct access to own memory of ARMCI_Malloc. Not needed here, and harmless. */
extern void ARMCI_Access_begin(void *ptr);
extern void ARMCI_Access_end(void *ptr);

/* Copies between two places of this process. They may overlap. */
extern void ARMCI_Copy(void *src, void *dst, int n);

/* ---------------------------------------------------------------- shapes */

#define ARMCI_MAX_STRIDE_LEVEL 8

/*
 * A strided section with L levels: count[0] is the length of a row in bytes, count[1..L] are
 * numbers of rows, planes ...; stride_arr[i], 0 <= i < L, is the distance in bytes between
 * neighbours at level i + 1. With L = 0 it is one row, and the stride arrays may be NULL.
 */

/* ptr_array_len pieces of `bytes` each, from src_ptr_array[i] to dst_ptr_array[i]. */
typedef struct {
    void **src_ptr_array;
    void **dst_ptr_array;
    int ptr_array_len;
    int bytes;
} armci_giov_t;

/* Packs a strided section of this process's memory into `buf`, and unpacks it. */
extern void armci_write_strided(void *ptr, int stride_levels, int stride_arr[], int count[],
                                char *buf);
extern void armci_read_strided(void *ptr, int stride_levels, int stride_arr[], int count[],
                               char *buf);

/* ---------------------------------------------------------------- put, get */

extern int ARMCI_Put(void *src, void *dst, int bytes, int proc);
extern int ARMCI_PutS(void *src_ptr, int src_stride_arr[], void *dst_ptr, int dst_stride_arr[],
                      int count[], int stride_levels, int proc);
extern int ARMCI_PutV(armci_giov_t darr[], int len, int proc);

extern int ARMCI_Get(void *src, void *dst, int bytes, int proc);
extern int ARMCI_GetS(void *src_ptr, int src_stride_arr[], void *dst_ptr, int dst_stride_arr[],
                      int count[], int stride_levels, int proc);
extern int ARMCI_GetV(armci_giov_t darr[], int len, int proc);

/* Puts, then writes `val` to the int at `flag` there: whoever sees the flag sees the data. */
extern int ARMCI_Put_flag(void *src, void *dst, int bytes, int *flag, int val, int proc);
extern int ARMCI_PutS_flag(void *src_ptr, int src_stride_arr[], void *dst_ptr, int dst_stride_arr[],
                           int count[], int stride_levels, int *flag, int val, int proc);
extern int ARMCI_PutS_flag_dir(void *src_ptr, int src_stride_arr[], void *dst_ptr,
                               int dst_stride_arr[], int count[], int stride_levels, int *flag,
                               int val, int proc);

/* ---------------------------------------------------------------- accumulate */

#define ARMCI_ACC_OFF 36
#define ARMCI_ACC_INT (ARMCI_ACC_OFF + 1) /* int */
#define ARMCI_ACC_DBL (ARMCI_ACC_OFF + 2) /* double */
#define ARMCI_ACC_FLT (ARMCI_ACC_OFF + 3) /* float */
#define ARMCI_ACC_CPL (ARMCI_ACC_OFF + 4) /* two floats: real, imaginary */
#define ARMCI_ACC_DCP (ARMCI_ACC_OFF + 5) /* two doubles: real, imaginary */
#define ARMCI_ACC_LNG (ARMCI_ACC_OFF + 6) /* long */

/* dst[i] += *scale * src[i], each element atomically. `scale` points to one such element. */
extern int ARMCI_Acc(int optype, void *scale, void *src, void *dst, int bytes, int proc);
extern int ARMCI_AccS(int optype, void *scale, void *src_ptr, int src_stride_arr[], void *dst_ptr,
                      int dst_stride_arr[], int count[], int stride_levels, int proc);
extern int ARMCI_AccV(int op, void *scale, armci_giov_t darr[], int len, int proc);

/* ---------------------------------------------------------------- non-blocking */

/*
 * A handle stands for all operations that were started with it since the last wait: of one handle
 * any number may be under way, whether or not it is an aggregate. Set it up by ARMCI_INIT_HANDLE. A
 * NULL handle is an implicit one, which ARMCI_WaitProc or ARMCI_WaitAll waits for. Local buffers
 * must be left alone until then; the arrays that describe strides and vectors need not.
 */
typedef struct {
    int data[4];
    double dummy[72];
} armci_hdl_t;

#define armci_req_t armci_hdl_t

#define ARMCI_INIT_HANDLE(hdl) \
    do { \
        (hdl)->data[0] = (hdl)->data[1] = (hdl)->data[2] = (hdl)->data[3] = 0; \
    } while (0)

/*
 * Says that many small operations will be started with this handle; they are sent at the latest
 * when it is waited for.
 */
extern void ARMCI_SET_AGGREGATE_HANDLE(armci_hdl_t *nb_handle);
extern void ARMCI_UNSET_AGGREGATE_HANDLE(armci_hdl_t *nb_handle);

extern int ARMCI_NbPut(void *src, void *dst, int bytes, int proc, armci_hdl_t *nb_handle);
extern int ARMCI_NbPutS(void *src_ptr, int src_stride_arr[], void *dst_ptr, int dst_stride_arr[],
                        int count[], int stride_levels, int proc, armci_hdl_t *nb_handle);
extern int ARMCI_NbPutV(armci_giov_t darr[], int len, int proc, armci_hdl_t *nb_handle);
extern int ARMCI_NbGet(void *src, void *dst, int bytes, int proc, armci_hdl_t *nb_handle);
extern int ARMCI_NbGetS(void *src_ptr, int src_stride_arr[], void *dst_ptr, int dst_stride_arr[],
                        int count[], int stride_levels, int proc, armci_hdl_t *nb_handle);
extern int ARMCI_NbGetV(armci_giov_t darr[], int len, int proc, armci_hdl_t *nb_handle);
extern int ARMCI_NbAcc(int optype, void *scale, void *src, void *dst, int bytes, int proc,
                       armci_hdl_t *nb_handle);
extern int ARMCI_NbAccS(int optype, void *scale, void *src_ptr, int src_stride_arr[], void *dst_ptr,
                        int dst_stride_arr[], int count[], int stride_levels, int proc,
                        armci_hdl_t *nb_handle);
extern int ARMCI_NbAccV(int op, void *scale, armci_giov_t darr[], int len, int proc,
                        armci_hdl_t *nb_handle);

/* Wait until all operations of the handle are complete locally. */
extern int ARMCI_Wait(armci_hdl_t *nb_handle);
/* 0 if all operations of the handle are complete locally, 1 if any is under way. Does not wait. */
extern int ARMCI_Test(armci_hdl_t *nb_handle);
/* Waits for all implicit operations on `proc`; for all operations, implicit or not. */
extern int ARMCI_WaitProc(int proc);
extern int ARMCI_WaitAll(void);

/* ---------------------------------------------------------------- single values */

extern int ARMCI_PutValueInt(int src, void *dst, int proc);
extern int ARMCI_PutValueLong(long src, void *dst, int proc);
extern int ARMCI_PutValueFloat(float src, void *dst, int proc);
extern int ARMCI_PutValueDouble(double src, void *dst, int proc);
extern int ARMCI_NbPutValueInt(int src, void *dst, int proc, armci_hdl_t *nb_handle);
extern int ARMCI_NbPutValueLong(long src, void *dst, int proc, armci_hdl_t *nb_handle);
extern int ARMCI_NbPutValueFloat(float src, void *dst, int proc, armci_hdl_t *nb_handle);
extern int ARMCI_NbPutValueDouble(double src, void *dst, int proc, armci_hdl_t *nb_handle);
/* The value at `src`; wrong arguments end the job. */
extern int ARMCI_GetValueInt(void *src, int proc);
extern long ARMCI_GetValueLong(void *src, int proc);
extern float ARMCI_GetValueFloat(void *src, int proc);
extern double ARMCI_GetValueDouble(void *src, int proc);

/* ---------------------------------------------------------------- read-modify-write */

#define ARMCI_SWAP 10
#define ARMCI_SWAP_LONG 11
#define ARMCI_FETCH_AND_ADD 12
#define ARMCI_FETCH_AND_ADD_LONG 13

/*
 * Atomic on the int, or with _LONG the long, at `prem`. Fetch-and-add adds `extra` and stores what
 * was there at `ploc`. Swap exchanges it with the one at `ploc`.
 */
extern int ARMCI_Rmw(int op, void *ploc, void *prem, int extra, int proc);

/* ---------------------------------------------------------------- order and synchronisation */

/* Wait until this rank's operations on `proc`, on all, on all of a group are complete there. */
extern void ARMCI_Fence(int proc);
extern void ARMCI_AllFence(void);

/* Collective: all ranks are here, and all their operations complete. */
extern void ARMCI_Barrier(void);

/*
 * Counts one notification of `proc`, behind all earlier operations on it; returns how many this
 * rank has sent there.
 */
extern int armci_notify(int proc);
/*
 * Waits for the next notification from `proc`: returns how many have come, and stores how many were
 * waited for.
 */
extern int armci_notify_wait(int proc, int *pval);
extern int ARMCI_Notify(int proc);
extern int ARMCI_Notify_wait(int proc, int *pval);

/* ---------------------------------------------------------------- mutexes */

/*
 * Collective: `num` mutexes on this rank, 0 or more; one set at a time. A mutex is named by its
 * number and its rank.
 */
extern int ARMCI_Create_mutexes(int num);
extern int ARMCI_Destroy_mutexes(void);
/* Whoever locks after an unlock sees what was put before it. */
extern void ARMCI_Lock(int mutex, int proc);
extern void ARMCI_Unlock(int mutex, int proc);

/* ---------------------------------------------------------------- groups */

/* A set of ranks, in an order of its own. 0 is the world. */
typedef int ARMCI_Group;

/*
 * Makes a group of n ranks; pid_list has their numbers in the default group (create) or in the
 * parent (create_child). The ranks of pid_list must call it; others may, and get a group in which
 * they have no rank, as all do if n is 0.
 */
extern void ARMCI_Group_create(int n, int *pid_list, ARMCI_Group *group_out);
extern void ARMCI_Group_create_child(int n, int *pid_list, ARMCI_Group *group_out,
                                     ARMCI_Group *group_parent);
/* Gives it up; collective over its members, others may call it too. */
extern void ARMCI_Group_free(ARMCI_Group *group);
/* This rank's number in the group. Not a member: -1 and a result that is not 0. */
extern int ARMCI_Group_rank(ARMCI_Group *group, int *rank);
/* How many ranks; 0 at one that is not a member. */
extern void ARMCI_Group_size(ARMCI_Group *group, int *size);
extern void ARMCI_Group_set_default(ARMCI_Group *group);
extern void ARMCI_Group_get_default(ARMCI_Group *group_out);
extern void ARMCI_Group_get_world(ARMCI_Group *group_out);
/* The world's number of a group's rank; negative if there is none. */
extern int ARMCI_Absolute_id(ARMCI_Group *group, int group_rank);
extern void ARMCI_GroupFence(ARMCI_Group *group);

/* As ARMCI_Malloc, collective over the group; ptr_arr goes by the ranks of the group. */
extern int ARMCI_Malloc_group(void *ptr_arr[], armci_size_t bytes, ARMCI_Group *group);
extern int ARMCI_Malloc_group_memdev(void *ptr_arr[], armci_size_t bytes, ARMCI_Group *group,
                                     const char *device);
extern int ARMCI_Free_group(void *ptr, ARMCI_Group *group);

/* ---------------------------------------------------------------- where ranks are */

typedef int armci_domain_t;
#define ARMCI_DOMAIN_SMP 0 /* ranks that share memory */

/* Ranks of a domain; a negative `id` is the own domain. */
extern int armci_domain_nprocs(armci_domain_t domain, int id);
extern int armci_domain_id(armci_domain_t domain, int glob_proc_id);
extern int armci_domain_glob_proc_id(armci_domain_t domain, int id, int loc_proc_id);
extern int armci_domain_my_id(armci_domain_t domain);
extern int armci_domain_count(armci_domain_t domain);
extern int armci_domain_same_id(armci_domain_t domain, int proc);
extern int armci_sameclusnode(int proc);
extern int ARMCI_Same_node(int proc);

/* 0: remote memory is never mapped here. */
extern int ARMCI_Uses_shm(void);
extern int ARMCI_Uses_shm_grp(ARMCI_Group *group);
/* Ignored: memory is the rank's, given at its start. */
extern void ARMCI_Set_shm_limit(unsigned long shmemlimit);
extern void ARMCI_Set_shmem_limit(unsigned long shmemlimit);

#ifdef __cplusplus
}
#endif

#include "message.h"
#include "parmci.h"

#ifdef MSG_COMMS_MPI
#include <mpi.h>
#ifdef __cplusplus
extern "C" {
#endif
/*
 * As those without a communicator, which must have all ranks in their order. One that has not is
 * refused: by a line and FAIL5, or at armci_msg_init_comm by the end of the job.
 */
extern int ARMCI_Init_mpi_comm(MPI_Comm comm);
extern int PARMCI_Init_mpi_comm(MPI_Comm comm);
extern void armci_msg_init_comm(MPI_Comm comm);
/* The communicator of the ranks of a group; it ends with the group. MPI_COMM_NULL: not a member. */
extern MPI_Comm armci_group_comm(ARMCI_Group *group);
extern MPI_Comm ARMCI_COMM_WORLD;
#ifdef __cplusplus
}
#endif
#endif

#endif
