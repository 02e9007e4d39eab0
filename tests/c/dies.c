/*
 * Calls that cannot return an error: each ends the job with one line. `dies CASE`; rank 1 (or 0, if
 * it is alone) makes the call.
 */
#include <armci.h>
#include <armcix.h>
#include <message.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    ARMCI_Init_args(&argc, &argv);
    int rank = armci_msg_me(), size = armci_msg_nproc(), culprit = size > 1, number = 1;
    const char *what = argc > 1 ? argv[1] : "";
    printf("ready\n");
    ARMCI_Create_mutexes(1);
    ARMCI_Barrier();
    if (rank == culprit) {
        if (strcmp(what, "error") == 0)
            ARMCI_Error("the matrix is singular", 7);
        if (strcmp(what, "abort") == 0)
            armci_msg_abort(9);
        if (strcmp(what, "lock") == 0)
            ARMCI_Lock(5, 0);
        if (strcmp(what, "unlock") == 0)
            ARMCI_Unlock(0, 0);
        if (strcmp(what, "fence") == 0)
            ARMCI_Fence(size);
        if (strcmp(what, "value") == 0)
            ARMCI_GetValueInt(NULL, 0);
        if (strcmp(what, "operator") == 0)
            armci_msg_igop(&number, 1, "average");
        if (strcmp(what, "type") == 0)
            armci_msg_gop_scope(SCOPE_ALL, &number, 1, "+", 5);
        if (strcmp(what, "group") == 0) {
            ARMCI_Group none = 1234;
            armci_msg_group_barrier(&none);
        }
        if (strcmp(what, "send") == 0)
            armci_msg_snd(1, &number, sizeof number, size);
        if (strcmp(what, "members") == 0) {
            ARMCI_Group group;
            int twice[] = {rank, rank};
            ARMCI_Group_create(2, twice, &group);
        }
        if (strcmp(what, "buffer") == 0) {
            char little[2];
            armci_msg_snd(3, &number, sizeof number, rank);
            armci_msg_rcv(3, little, sizeof little, NULL, rank);
        }
        printf("still alive after %s\n", what);
    }
    ARMCI_Barrier();
    return 0;
}
