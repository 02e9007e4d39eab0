/*
 * What a C program may expect of its library, and of the kernel behind it.
 *
 * library              checks everything that can be checked; the status is the number of failures
 * library ticks N      counts to N, a line a second, and keeps what a thread has of its own
 * library exit N       ends with this status
 * library HOW          goes wrong: abort, assert, null, rodata, text, overflow, doublefree, divide
 */

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int failures;

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            printf("FAILED: %s (%s:%d)\n", #condition, __FILE__, __LINE__); \
            failures++; \
        } \
    } while (0)

static int constructed;
static _Thread_local int thread_number = 42;
static _Thread_local _Alignas(64) char thread_zeros[100];

__attribute__((constructor)) static void construct(void)
{
    constructed = 7;
}
__attribute__((destructor)) static void destruct(void)
{
    puts("destructor");
}

static void at_exit(void)
{
    puts("at exit");
}

static const char *formatted(const char *format, ...)
{
    static char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return text;
}

#define FORMATS(expected, ...) CHECK(strcmp(formatted(__VA_ARGS__), expected) == 0)

static void formats(void)
{
    FORMATS("-42|0042|   42|42   |+42", "%d|%04d|%5d|%-5d|%+d", -42, 42, 42, 42, 42);
    FORMATS("deadbeef DEADBEEF 0x1f 017", "%x %X %#x %#o", 0xdeadbeef, 0xdeadbeef, 31, 15);
    FORMATS("18446744073709551615 -9223372036854775808", "%" PRIu64 " %" PRId64, UINT64_MAX,
            INT64_MIN);
    FORMATS("3.141593 3.14 3.142e+00 1e+10 1e-05", "%f %.2f %.3e %g %g", M_PI, M_PI, M_PI, 1e10,
            1e-5);
    FORMATS("inf -inf nan 0x1.8p+1", "%f %f %f %a", INFINITY, -INFINITY, NAN, 3.0);
    FORMATS("1.1000000000000000888", "%.19f", 1.1);
    FORMATS("0.333333333333333333342", "%.21Lf", 1.0L / 3.0L);
    FORMATS("  abc|abc  |ab|x|%", "%5s|%-5s|%.2s|%c|%%", "abc", "abc", "abc", 'x');
    FORMATS("12345 7", "%zu %td", (size_t)12345, (ptrdiff_t)7);
    volatile int first = 123456;
    char small[4];
    CHECK(snprintf(small, sizeof small, "%d", first) == 6 && strcmp(small, "123") == 0);
    int a = 0;
    double b = 0;
    char word[10] = "";
    CHECK(sscanf("17 2.5 word", "%d %lf %9s", &a, &b, word) == 3 && a == 17 && b == 2.5 &&
          strcmp(word, "word") == 0);
}

static void strings(void)
{
    char text[32] = "a,b;c";
    CHECK(strcmp(strtok(text, ",;"), "a") == 0 && strcmp(strtok(NULL, ",;"), "b") == 0);
    CHECK(strstr("haystack with needle", "needle") != NULL && strchr("abc", 'd') == NULL);
    CHECK(strncmp("abcd", "abcx", 3) == 0 && memchr("abc", 'c', 3) != NULL);
    char *copy = strdup("copied");
    CHECK(copy && strcmp(copy, "copied") == 0);
    free(copy);
    memmove(text + 1, "0123456789", 10);
    memmove(text + 2, text + 1, 10);
    CHECK(memcmp(text + 2, "0123456789", 10) == 0);
    CHECK(toupper('a') == 'A' && isdigit('7') && !isalpha('7'));
    CHECK(strlen(strerror(ENOENT)) > 5);
}

static void numbers(void)
{
    char *end;
    CHECK(strtol("-123xyz", &end, 10) == -123 && strcmp(end, "xyz") == 0);
    CHECK(strtoul("ff", NULL, 16) == 255 && atoi("99 bottles") == 99);
    errno = 0;
    CHECK(strtol("99999999999999999999", NULL, 10) == LONG_MAX && errno == ERANGE);
    CHECK(strtod("2.5e3", NULL) == 2500.0 && strtod("0x1p-3", NULL) == 0.125);
    CHECK(strtod("1.7976931348623157e308", NULL) == DBL_MAX);
    CHECK(div(17, 5).rem == 2 && labs(-5L) == 5);
    srand(1);
    int first = rand();
    srand(1);
    CHECK(rand() == first);
    volatile __int128 wide = (__int128)1 << 100;
    CHECK(wide / 3 * 3 + wide % 3 == wide);
}

static bool close_to(double value, double expected)
{
    return fabs(value - expected) <= 1e-14 * fabs(expected);
}

static void mathematics(void)
{
    volatile double two = 2, half = 0.5;
    CHECK(close_to(sqrt(two), 1.4142135623730951) && close_to(pow(two, half), 1.4142135623730951));
    CHECK(close_to(sin(half), 0.479425538604203) && close_to(cos(half), 0.8775825618903728));
    CHECK(close_to(exp(two), 7.38905609893065) && close_to(log(two), 0.6931471805599453));
    CHECK(close_to(atan2(half, two), 0.24497866312686414) && close_to(tgamma(5.0), 24.0));
    CHECK(floor(-0.5) == -1 && ceil(0.2) == 1 && round(2.5) == 3 && fmod(7, 4) == 3);
    CHECK(isnan(sqrt(-two)) && isinf(two / (half - 0.5)));
    CHECK(fabsl(sqrtl(2.0L) * sqrtl(2.0L) - 2.0L) < 1e-18L);
    /* Vector registers must survive system calls: nothing else would show here. */
    double values[8], sum = 0;
    for (int i = 0; i < 8; i++)
        values[i] = sqrt(i);
    for (int i = 0; i < 8; i++) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        sum += values[i];
    }
    CHECK(close_to(sum, 13.47757340128953));
}

static int ascending(const void *left, const void *right)
{
    int a = *(const int *)left, b = *(const int *)right;
    return (a > b) - (a < b);
}

static void sorting(void)
{
    enum { COUNT = 10000 };
    int *values = malloc(COUNT * sizeof *values);
    unsigned state = 1;
    for (int i = 0; i < COUNT; i++)
        values[i] = (int)((state = state * 1103515245u + 12345u) >> 8);
    qsort(values, COUNT, sizeof *values, ascending);
    bool sorted = true;
    for (int i = 1; i < COUNT; i++)
        sorted &= values[i - 1] <= values[i];
    CHECK(sorted);
    int key = values[COUNT / 3];
    int *found = bsearch(&key, values, COUNT, sizeof *values, ascending);
    CHECK(found && *found == key);
    free(values);
}

static void memory(void)
{
    enum { COUNT = 400 };
    unsigned char *blocks[COUNT] = {0};
    size_t sizes[COUNT] = {0};
    unsigned state = 7;
    bool intact = true, aligned = true;
    for (int step = 0; step < 20000; step++) {
        state = state * 1664525u + 1013904223u;
        int i = (state >> 16) % COUNT;
        for (size_t at = 0; at < sizes[i]; at += sizes[i] / 8 + 1)
            intact &= blocks[i][at] == (unsigned char)i;
        /* Mostly small, now and then beyond what the library takes from the kernel one by one. */
        size_t size = (state >> 8) % (step % 500 == 0 ? 300000 : step % 50 == 0 ? 9000 : 200) + 1;
        if (step % 3 == 0) {
            free(blocks[i]);
            blocks[i] = malloc(size);
        } else {
            blocks[i] = realloc(blocks[i], size);
        }
        if (!blocks[i]) {
            printf("FAILED: no memory at step %d for %zu bytes\n", step, size);
            failures++;
            return;
        }
        aligned &= (uintptr_t)blocks[i] % _Alignof(max_align_t) == 0;
        sizes[i] = size;
        memset(blocks[i], i, size);
    }
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    CHECK(intact);
    CHECK(aligned);
    char *zeros = calloc(1000, 100);
    bool zero = true;
    for (int i = 0; i < 100000; i++)
        zero &= zeros[i] == 0;
    CHECK(zero);
    free(zeros);
    /* Given back, it is there again: more in all than the domain has. */
    for (int i = 0; i < 200; i++) {
        char *large = malloc(1 << 20);
        CHECK(large != NULL);
        if (!large)
            break;
        large[0] = large[(1 << 20) - 1] = 1;
        large = realloc(large, 2 << 20);
        CHECK(large && large[0] == 1 && large[(1 << 20) - 1] == 1);
        free(large);
    }
    errno = 0;
    CHECK(malloc((size_t)1 << 40) == NULL && errno == ENOMEM);
    void *page = NULL;
    CHECK(posix_memalign(&page, 4096, 100) == 0 && (uintptr_t)page % 4096 == 0);
    free(page);
    char *map = mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED && munmap(map + 4096, 4096) == 0);
    map[0] = map[3 * 4096] = 1;
    CHECK(munmap(map, 5 * 4096) == 0);
    map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map == MAP_FAILED && errno == EACCES);
}

static void times(void)
{
    struct timespec before, after, pause = {0, 20 * 1000 * 1000};
    CHECK(clock_gettime(CLOCK_MONOTONIC, &before) == 0 && nanosleep(&pause, NULL) == 0);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
    double took =
        (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    CHECK(took >= 0.02 && took < 5);
    long long last = 0;
    bool monotonic = true;
    for (int i = 0; i < 1000; i++) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        long long nanoseconds = now.tv_sec * 1000000000ll + now.tv_nsec;
        monotonic &= nanoseconds >= last;
        last = nanoseconds;
    }
    CHECK(monotonic);
    struct timeval day;
    CHECK(gettimeofday(&day, NULL) == 0 &&
          llabs((long long)day.tv_sec - (long long)time(NULL)) <= 1);
    CHECK(clock() != (clock_t)-1 && clock_getres(CLOCK_MONOTONIC, &after) == 0);
    time_t moment = 1000000000;
    char text[40];
    CHECK(strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", gmtime(&moment)) &&
          strcmp(text, "2001-09-09 01:46:40") == 0);
    printf("it is %s", ctime(&(time_t){time(NULL)}));
}

static void files(void)
{
    char text[64] = "";
    errno = 0;
    CHECK(fopen("no-such-file", "r") == NULL && errno == ENOENT);
    CHECK(fopen("new-file", "w") == NULL && errno == EROFS);
    CHECK(fgets(text, sizeof text, stdin) == NULL && feof(stdin));
    CHECK(isatty(STDOUT_FILENO));
    struct utsname names;
    CHECK(uname(&names) == 0 && strcmp(names.sysname, "Xenolith") == 0);
    FILE *file = fopen("ramdisk", "r");
    if (!file)
        return;
    struct stat status;
    CHECK(fgets(text, sizeof text, file) && strcmp(text, "first line\n") == 0);
    CHECK(fseek(file, -5, SEEK_END) == 0 && fread(text, 1, sizeof text, file) == 5 &&
          memcmp(text, "last\n", 5) == 0);
    CHECK(stat("/ramdisk", &status) == 0 && S_ISREG(status.st_mode) &&
          status.st_size == ftell(file));
    CHECK(fclose(file) == 0);
    printf("the file has %lld bytes\n", (long long)status.st_size);
}

static void rest(void)
{
    CHECK(constructed == 7 && thread_number == 42 && thread_zeros[99] == 0);
    CHECK((uintptr_t)thread_zeros % 64 == 0);
    CHECK(getenv("XENOLITH_RANK") && !getenv("HOME") && setenv("NAME", "value", 1) == 0 &&
          strcmp(getenv("NAME"), "value") == 0);
    jmp_buf back;
    volatile int jumps = 0;
    if (setjmp(back) < 3)
        longjmp(back, ++jumps);
    CHECK(jumps == 3);
    errno = 0;
    CHECK(fork() == -1 && errno == ENOSYS);
    CHECK(getpid() > 0 && getuid() == 0 && sysconf(_SC_PAGESIZE) == 4096);
}

static void ticks(int count)
{
    thread_number = 1;
    for (int tick = 1; tick <= count; tick++) {
        sleep(1);
        errno = 0;
        free(malloc(100000 + tick));
        bool good = fopen("none", "r") == NULL && errno == ENOENT && thread_number == tick;
        printf("tick %d %s\n", tick, good ? "good" : "bad");
        thread_number++;
    }
}

static volatile int zero;
static void (*volatile code)(void) = at_exit;

static int deeper(volatile char *above)
{
    volatile char here[4096];
    here[0] = above[0];
    return zero ? 0 : deeper(here) + here[0];
}

static int go_wrong(const char *how)
{
    /* Without the line's end: the kernel's word must still be a line of its own. */
    printf("going wrong: %s", how);
    fflush(stdout);
    if (!strcmp(how, "abort"))
        abort();
    if (!strcmp(how, "assert"))
        assert(how == NULL && "this is asked for");
    if (!strcmp(how, "null"))
        *(volatile int *)(uintptr_t)zero = 1;
    if (!strcmp(how, "rodata"))
        *(volatile char *)(uintptr_t)"constant" = 1;
    if (!strcmp(how, "text"))
        *(volatile char *)(uintptr_t)code = 1;
    if (!strcmp(how, "overflow"))
        return deeper((volatile char[]){1});
    if (!strcmp(how, "divide"))
        return 7 / zero;
    if (!strcmp(how, "doublefree")) {
        void *volatile block = malloc(100);
        void *volatile other = malloc(100); /* so that their group stays */
        free(block);
        free(block);
        free(other);
    }
    printf("\n%s: it did not\n", how);
    return 99;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "ticks"))
        return ticks(atoi(argv[2])), 0;
    if (argc == 3 && !strcmp(argv[1], "exit"))
        exit(atoi(argv[2]));
    if (argc == 2 && strcmp(argv[1], "check"))
        return go_wrong(argv[1]);
    setvbuf(stderr, NULL, _IONBF, 0);
    atexit(at_exit);
    printf("%s:", argv[0]);
    for (int i = 1; i < argc; i++)
        printf(" [%s]", argv[i]);
    printf("\n");
    CHECK(argv[argc] == NULL);
    formats();
    strings();
    numbers();
    mathematics();
    sorting();
    memory();
    times();
    files();
    rest();
    fprintf(stderr, "to stderr\n");
    printf("%d checks failed\n", failures);
    return failures;
}
