/* The smallest C program in an image, without ARMCI: says which rank of how many it is. */

#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    printf("hello from %s of %s\n", getenv("XENOLITH_RANK"), getenv("XENOLITH_SIZE"));
    return 0;
}
