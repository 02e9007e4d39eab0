/*
 * Messages and collective operations between ranks: armci_msg_*.
 *
 * They work from armci_msg_init (or ARMCI_Init, or the first call here) to the end of the process.
 * Collective calls must be made by all ranks concerned in the same order. Wrong arguments end the
 * job with one line that says what was wrong.
 */
#include "armci.h" /* which includes this file in turn, at a place where all its types are known */

#ifndef XENOLITH_ARMCI_MESSAGE_H
#define XENOLITH_ARMCI_MESSAGE_H

#ifdef __cplusplus
extern "C" {
#endif

/* Types of elements. */
#define ARMCI_INT -99
#define ARMCI_LONG -101
#define ARMCI_LONG_LONG -102
#define ARMCI_FLOAT -306
#define ARMCI_DOUBLE -307

/*
 * Who takes part: all ranks; those that share memory with the caller (only itself); one for each
 * such set (all).
 */
#define SCOPE_ALL 333
#define SCOPE_NODE 337
#define SCOPE_MASTERS 339

/*
 * Operators of the global operations, a string: "+" "*" "min" "max" "absmin" "absmax" for all
 * types, and for integers "or" "bor" "|", "band" "&", "lor" "||", "land" "&&".
 */

/* ---------------------------------------------------------------- start and end */

extern void armci_msg_init(int *argc, char ***argv);
/* 1 once this process is a rank, otherwise 0. */
extern int armci_msg_initialized(void);
/* Collective: waits for all ranks. */
extern void armci_msg_finalize(void);
/* Ends the job with this status. */
extern void armci_msg_abort(int code);
extern int armci_msg_me(void);
extern int armci_msg_nproc(void);
/* Seconds since some time in the past. */
extern double armci_timer(void);

/* ---------------------------------------------------------------- from rank to rank */

/*
 * Messages are found by tag; those of one sender with one tag keep their order. A send returns when
 * the buffer may be reused; it does not wait for the receiver. A message longer than the receiver's
 * buffer ends the job. `msglen`, which may be NULL, gets the length.
 */
extern void armci_msg_snd(int tag, void *buffer, int len, int to);
extern void armci_msg_rcv(int tag, void *buffer, int buflen, int *msglen, int from);
/* From whoever has sent; returns who. */
extern int armci_msg_rcvany(int tag, void *buffer, int buflen, int *msglen);

/* ---------------------------------------------------------------- collective */

extern void armci_msg_barrier(void);
/* Place of this rank in a binary tree of the scope; -1 where there is nobody. */
extern void armci_msg_bintree(int scope, int *Root, int *Up, int *Left, int *Right);

extern void armci_msg_bcast(void *buffer, int len, int root);
extern void armci_msg_bcast_scope(int scope, void *buffer, int len, int root);
extern void armci_msg_brdcst(void *buffer, int len, int root);

/* x[0..n] of all ranks combined, at all of them. */
extern void armci_msg_igop(int *x, int n, char *op);
extern void armci_msg_lgop(long *x, int n, char *op);
extern void armci_msg_llgop(long long *x, int n, char *op);
extern void armci_msg_fgop(float *x, int n, char *op);
extern void armci_msg_dgop(double *x, int n, char *op);
extern void armci_msg_gop_scope(int scope, void *x, int n, char *op, int type);

/* The same, with the result at rank 0 only; the other ranks' x is left undefined. */
extern void armci_msg_reduce(void *x, int n, char *op, int type);
extern void armci_msg_reduce_scope(int scope, void *x, int n, char *op, int type);

/*
 * All ranks get the n *bytes* of that contributing rank whose first element is the least ("min") or
 * greatest ("max"). Ranks with contribute = 0 only receive; if nobody contributes, x stays.
 */
extern void armci_msg_sel(void *x, int n, char *op, int type, int contribute);
extern void armci_msg_sel_scope(int scope, void *x, int n, char *op, int type, int contribute);

/* Fills in an array of n pointers of which each rank has set its own and left the others NULL. */
extern void armci_exchange_address(void *ptr_arr[], int n);

/* Within the ranks that share memory. */
extern void armci_msg_clus_brdcst(void *buf, int len);
extern void armci_msg_clus_igop(int *x, int n, char *op);
extern void armci_msg_clus_lgop(long *x, int n, char *op);
extern void armci_msg_clus_llgop(long long *x, int n, char *op);
extern void armci_msg_clus_fgop(float *x, int n, char *op);
extern void armci_msg_clus_dgop(double *x, int n, char *op);

/* ---------------------------------------------------------------- collective over a group */

/* A NULL group is the world. `root` is a rank of the world. */
extern void armci_msg_group_barrier(ARMCI_Group *group);
extern void armci_msg_group_bintree(int scope, int *Root, int *Up, int *Left, int *Right,
                                    ARMCI_Group *group);
extern void armci_msg_group_bcast_scope(int scope, void *buf, int len, int root,
                                        ARMCI_Group *group);
extern void armci_msg_group_gop_scope(int scope, void *x, int n, char *op, int type,
                                      ARMCI_Group *group);
extern void armci_msg_group_igop(int *x, int n, char *op, ARMCI_Group *group);
extern void armci_msg_group_lgop(long *x, int n, char *op, ARMCI_Group *group);
extern void armci_msg_group_llgop(long long *x, int n, char *op, ARMCI_Group *group);
extern void armci_msg_group_fgop(float *x, int n, char *op, ARMCI_Group *group);
extern void armci_msg_group_dgop(double *x, int n, char *op, ARMCI_Group *group);
extern void armci_exchange_address_grp(void *ptr_arr[], int n, ARMCI_Group *group);
/* Broadcast from the world's rank `grp_master` in the group's first `grp_clus_nproc` ranks. */
extern void armci_grp_clus_brdcst(void *buf, int len, int grp_master, int grp_clus_nproc,
                                  ARMCI_Group *mastergroup);

#ifdef __cplusplus
}
#endif

#endif
