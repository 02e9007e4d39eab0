/* A tool's view: it defines some of the ARMCI_ names itself, and calls the PARMCI_ ones. */
#include <armci.h>
#include <message.h>
#include <parmci.h>

#include <stdio.h>

static int puts_seen, barriers_seen, notifications_seen;

int ARMCI_Put(void *src, void *dst, int bytes, int proc)
{
    puts_seen++;
    return PARMCI_Put(src, dst, bytes, proc);
}

void ARMCI_Barrier(void)
{
    barriers_seen++;
    PARMCI_Barrier();
}

int armci_notify(int proc)
{
    notifications_seen++;
    return parmci_notify(proc);
}

int main(void)
{
    if (ARMCI_Init() != 0)
        return 1;
    int rank = armci_msg_me(), size = armci_msg_nproc(), next = (rank + 1) % size, waited;
    void **parts = calloc((size_t)size, sizeof *parts);
    if (PARMCI_Malloc(parts, 64) != 0)
        return 1;
    for (int i = 0; i < 5; i++)
        ARMCI_Put(&i, parts[next], sizeof i, next);
    PARMCI_Put(&size, parts[next], sizeof size, next);
    armci_notify(next);
    parmci_notify_wait((rank + size - 1) % size, &waited);
    ARMCI_Barrier();
    parmci_msg_barrier();
    int good = puts_seen == 5 && barriers_seen == 1 && notifications_seen == 1 &&
               *(int *)parts[rank] == size;
    armci_msg_igop(&good, 1, "min");
    if (rank == 0)
        printf("profile: %s\n", good ? "the tool saw what it should" : "FAILED");
    PARMCI_Free(parts[rank]);
    free(parts);
    ARMCI_Finalize();
    return !good;
}
