/* Reads standard input to its end, a character at a time, and says how much it was. */

#include <stdio.h>

int main(void)
{
    unsigned long bytes = 0, lines = 0, sum = 0;
    int byte;
    while ((byte = getchar()) != EOF) {
        bytes++;
        lines += byte == '\n';
        sum = (sum * 31 + (unsigned)byte) % 1000000007;
    }
    printf("%lu bytes, %lu lines, sum %lu%s\n", bytes, lines, sum, ferror(stdin) ? ", bad" : "");
    return 0;
}
