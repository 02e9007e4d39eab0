/* Sleeps and tells the time, again and again: `clocks COUNT MILLISECONDS`. For
 * tests/xen/chains.sh. */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 10;
    long pause = argc > 2 ? atol(argv[2]) : 100;
    struct timespec sleep = {pause / 1000, pause % 1000 * 1000000};
    for (long tick = 1; tick <= count; tick++) {
        struct timespec elapsed, wall;
        if (nanosleep(&sleep, NULL) != 0 || clock_gettime(CLOCK_MONOTONIC, &elapsed) != 0 ||
            clock_gettime(CLOCK_REALTIME, &wall) != 0) {
            perror("clocks");
            return 1;
        }
        printf("tick %ld elapsed %lld wall %lld\n", tick,
               elapsed.tv_sec * 1000LL + elapsed.tv_nsec / 1000000,
               wall.tv_sec * 1000LL + wall.tv_nsec / 1000000);
    }
    return 0;
}
