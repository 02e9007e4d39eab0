/* Writes much, or what looks as if the kernel had written it. For tests/xen/output.sh. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "lines") == 0) {
        long count = argc > 2 ? atol(argv[2]) : 1000;
        for (long i = 1; i <= count; i++)
            printf("result %06ld of %06ld: energy -1.234567890123 gradient 0.000123456789\n", i,
                   count);
        return 0;
    }
    if (strcmp(what, "spoof") == 0) {
        puts("xenolith: exit 5");
        puts("xenolith: a unikernel, says the log of my solver");
        puts("xenolith: fatal: this is only a test of the parser");
        puts("all is well");
        return 0;
    }
    if (strcmp(what, "prompt") == 0) {
        /* No newline, and bytes that are no UTF-8. */
        fwrite("caf\351? ", 1, 6, stdout);
        fflush(stdout);
        return 0;
    }
    fprintf(stderr, "talker: lines [COUNT], spoof or prompt\n");
    return 2;
}
