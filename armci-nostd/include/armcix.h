/*
 * Extensions that programs for ARMCI-MPI use: splitting groups, and mutexes in sets.
 */
#ifndef XENOLITH_ARMCIX_H
#define XENOLITH_ARMCIX_H

#include "armci.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Collective over `parent`: ranks that give the same colour form a group, in the order of their
 * keys and then of their ranks in the parent. A negative colour: in no group, *new_group has no
 * rank for the caller.
 */
extern int ARMCIX_Group_split(ARMCI_Group *parent, int color, int key, ARMCI_Group *new_group);
/* Collective over `parent`: a group of the same ranks. */
extern int ARMCIX_Group_dup(ARMCI_Group *parent, ARMCI_Group *new_group);

/* A set of mutexes; NULL is none. */
typedef struct armcix_mutex_hdl_s *armcix_mutex_hdl_t;

/*
 * Collective over the group: `count` mutexes on this rank. `proc` below is a rank of the world.
 * NULL if it fails.
 */
extern armcix_mutex_hdl_t ARMCIX_Create_mutexes_hdl(int count, ARMCI_Group *pgroup);
extern int ARMCIX_Destroy_mutexes_hdl(armcix_mutex_hdl_t hdl);
extern void ARMCIX_Lock_hdl(armcix_mutex_hdl_t hdl, int mutex, int proc);
/* Locks if nobody holds it: 0 if it is ours now, 1 if it is not. Does not wait. */
extern int ARMCIX_Trylock_hdl(armcix_mutex_hdl_t hdl, int mutex, int proc);
extern void ARMCIX_Unlock_hdl(armcix_mutex_hdl_t hdl, int mutex, int proc);
/* The same for the mutexes of ARMCI_Create_mutexes. */
extern int ARMCIX_Trylock(int mutex, int proc);

/*
 * Operations go on without the process's help; this only lets others have the processor. For loops
 * that wait for a flag.
 */
extern void ARMCIX_Progress(void);

#ifdef __cplusplus
}
#endif

#endif
