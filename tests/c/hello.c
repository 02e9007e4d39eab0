/* Every rank writes its number to the next one and says what it found. */
#include <armci.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    ARMCI_Init_args(&argc, &argv);
    int rank = armci_msg_me(), size = armci_msg_nproc(), next = (rank + 1) % size;
    void **parts = calloc((size_t)size, sizeof *parts);
    if (!parts || ARMCI_Malloc(parts, sizeof rank) != 0)
        ARMCI_Error("no memory", 1);
    ARMCI_Put(&rank, parts[next], sizeof rank, next);
    ARMCI_Barrier();
    printf("hello from %d of %d, written to by %d\n", rank, size, *(int *)parts[rank]);
    ARMCI_Free(parts[rank]);
    free(parts);
    ARMCI_Finalize();
    return 0;
}
