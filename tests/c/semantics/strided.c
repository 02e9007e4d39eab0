/* Sections with strides: 0 to 8 levels. */
#include "check.h"

#include <armcix.h>

enum { LEVELS = ARMCI_MAX_STRIDE_LEVEL, ROOM = 60000 };

/* A section, and the strides of its two sides. */
typedef struct {
    int levels, count[LEVELS + 1], near[LEVELS], far[LEVELS];
} section;

static section sections[LEVELS + 1];

/* Rows of 5 bytes, two or three at each level, with gaps that differ on both sides. */
static void make_sections(void)
{
    for (int levels = 0; levels <= LEVELS; levels++) {
        section *s = &sections[levels];
        s->levels = levels;
        s->count[0] = 5;
        int near = 6, far = 9;
        for (int i = 0; i < levels; i++) {
            s->count[i + 1] = i % 2 ? 3 : 2;
            s->near[i] = near;
            s->far[i] = far;
            near = near * s->count[i + 1] + 1;
            far = far * s->count[i + 1] + (i == 0 ? 2 : 0);
        }
    }
}

/* Offsets of the rows on both sides, in order; the number of rows. */
static int rows(const section *s, int near[], int far[])
{
    int total = 1;
    for (int i = 0; i < s->levels; i++)
        total *= s->count[i + 1];
    for (int row = 0; row < total; row++) {
        int left = row;
        near[row] = far[row] = 0;
        for (int i = 0; i < s->levels; i++) {
            near[row] += left % s->count[i + 1] * s->near[i];
            far[row] += left % s->count[i + 1] * s->far[i];
            left /= s->count[i + 1];
        }
    }
    return total;
}

static int near_rows[2000], far_rows[2000];

/* Whether `far_side` holds the rows of `near_side`, and `background` everywhere else. */
static int moved(const section *s, const char *from, const int from_rows[], const char *to,
                 const int to_rows[], char background)
{
    static char expected[ROOM];
    memset(expected, background, ROOM);
    int total = rows(s, near_rows, far_rows);
    for (int row = 0; row < total; row++)
        memcpy(expected + to_rows[row], from + from_rows[row], (size_t)s->count[0]);
    return memcmp(expected, to, ROOM) == 0;
}

static void put_and_get(void)
{
    void **parts = shared(ROOM);
    char *source = malloc(ROOM), *expected = malloc(ROOM), *back = ARMCI_Malloc_local(ROOM);
    make_sections();
    for (int levels = 0; levels <= LEVELS; levels++) {
        section *s = &sections[levels];
        memset(parts[rank], 0x11, ROOM);
        fill(source, ROOM, rank, levels);
        fill(expected, ROOM, PREVIOUS, levels);
        ARMCI_Barrier();
        CHECK(ARMCI_PutS(source, s->near, parts[NEXT], s->far, s->count, levels, NEXT) == 0,
              "%d levels", levels);
        ARMCI_Barrier();
        CHECK(moved(s, expected, near_rows, parts[rank], far_rows, 0x11), "%d levels", levels);
        memset(back, 0x22, ROOM);
        CHECK(ARMCI_GetS(parts[NEXT], s->far, back, s->near, s->count, levels, NEXT) == 0,
              "%d levels", levels);
        CHECK(moved(s, source, near_rows, back, near_rows, 0x22), "%d levels", levels);
        ARMCI_Barrier();
    }
    ARMCI_Free_local(back);
    free(expected);
    free(source);
    release(parts);
}

static void non_blocking(void)
{
    void **parts = shared(ROOM);
    char *source = malloc(ROOM), *expected = malloc(ROOM), *back = malloc(ROOM);
    make_sections();
    for (int levels = 0; levels <= LEVELS; levels++) {
        section *s = &sections[levels];
        section copy = *s;
        armci_hdl_t handle;
        ARMCI_INIT_HANDLE(&handle);
        memset(parts[rank], 0x33, ROOM);
        fill(source, ROOM, rank, levels);
        fill(expected, ROOM, PREVIOUS, levels);
        ARMCI_Barrier();
        CHECK(ARMCI_NbPutS(source, copy.near, parts[NEXT], copy.far, copy.count, levels, NEXT,
                           &handle) == 0,
              "%d", levels);
        /* The description may go as soon as the call returns. */
        memset(&copy, 0xff, sizeof copy);
        CHECK(ARMCI_Wait(&handle) == 0, "%d levels", levels);
        ARMCI_Barrier();
        CHECK(moved(s, expected, near_rows, parts[rank], far_rows, 0x33), "%d levels", levels);
        memset(back, 0x44, ROOM);
        CHECK(ARMCI_NbGetS(parts[NEXT], s->far, back, s->near, s->count, levels, NEXT, NULL) == 0,
              "%d levels", levels);
        CHECK(ARMCI_WaitProc(NEXT) == 0, "%d levels", levels);
        CHECK(moved(s, source, near_rows, back, near_rows, 0x44), "%d levels", levels);
        ARMCI_Barrier();
    }
    free(back);
    free(expected);
    free(source);
    release(parts);
}

static void a_matrix(void)
{
    /* A block of 100 x 50 doubles of a 200-column matrix, wherever it begins. */
    enum { ROWS = 100, COLUMNS = 50, WIDTH = 200 };
    void **parts = shared(sizeof(double) * ROWS * WIDTH);
    double block[ROWS][COLUMNS], back[ROWS][COLUMNS];
    int near[] = {sizeof block[0]}, far[] = {WIDTH * sizeof(double)},
        count[] = {sizeof block[0], ROWS};
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLUMNS; j++)
            block[i][j] = 1000 * rank + i + 0.01 * j;
    for (int begin = 0; begin <= WIDTH - COLUMNS; begin += 75) {
        char *far_block = at(parts, NEXT, (long)sizeof(double) * begin);
        CHECK(ARMCI_PutS(block, near, far_block, far, count, 1, NEXT) == 0, "at %d", begin);
        ARMCI_Fence(NEXT);
        CHECK(ARMCI_GetS(far_block, far, back, near, count, 1, NEXT) == 0, "at %d", begin);
        CHECK(memcmp(block, back, sizeof block) == 0, "at %d", begin);
    }
    release(parts);
}

static void zero_counts(void)
{
    void **parts = shared(64);
    char local[64];
    int stride[] = {8, 16}, no_bytes[] = {0, 4, 2}, no_rows[] = {4, 0, 2}, no_planes[] = {4, 2, 0},
        none[] = {0};
    memset(local, 1, sizeof local);
    CHECK(ARMCI_PutS(local, stride, parts[NEXT], stride, no_bytes, 2, NEXT) == 0,
          "rows of nothing");
    CHECK(ARMCI_PutS(local, stride, parts[NEXT], stride, no_rows, 2, NEXT) == 0, "no rows");
    CHECK(ARMCI_PutS(local, stride, parts[NEXT], stride, no_planes, 2, NEXT) == 0, "no planes");
    CHECK(ARMCI_PutS(local, NULL, parts[NEXT], NULL, none, 0, NEXT) == 0, "nothing");
    CHECK(ARMCI_GetS(parts[NEXT], stride, local, stride, no_rows, 2, NEXT) == 0, "no rows");
    ARMCI_Barrier();
    for (int i = 0; i < 64; i++)
        CHECK(((char *)parts[rank])[i] == 0 && local[i] == 1, "byte %d", i);
    release(parts);
}

static void one_row_without_strides(void)
{
    void **parts = shared(40);
    char local[40], back[40] = {0};
    int count[] = {40};
    fill(local, 40, rank, 3);
    CHECK(ARMCI_PutS(local, NULL, parts[NEXT], NULL, count, 0, NEXT) == 0, "no levels, no strides");
    CHECK(ARMCI_GetS(parts[NEXT], NULL, back, NULL, count, 0, NEXT) == 0, "no levels, no strides");
    CHECK(wrong(back, 40, rank, 3) == 0, "there and back");
    release(parts);
}

static void strides_may_go_backwards_and_stand_still(void)
{
    void **parts = shared(80);
    char local[80], back[80];
    int forward[] = {8}, backward[] = {-8}, still[] = {0}, count[] = {8, 10};
    fill(local, 80, rank, 4);
    CHECK(ARMCI_PutS(local, forward, at(parts, NEXT, 72), backward, count, 1, NEXT) == 0,
          "backwards there");
    CHECK(ARMCI_GetS(parts[NEXT], forward, back + 72, backward, count, 1, NEXT) == 0,
          "backwards here");
    CHECK(wrong(back, 80, rank, 4) == 0, "twice round is straight");
    CHECK(ARMCI_GetS(at(parts, NEXT, 72), still, back, forward, count, 1, NEXT) == 0,
          "the same row ten times");
    for (int i = 0; i < 10; i++)
        CHECK(memcmp(back + 8 * i, local, 8) == 0, "row %d", i);
    release(parts);
}

static void wrong_arguments(void)
{
    void **parts = shared(640);
    char local[640];
    int stride[LEVELS + 1], count[LEVELS + 2], negative[] = {4, -1};
    double one = 1;
    for (int i = 0; i <= LEVELS; i++)
        stride[i] = 8;
    for (int i = 0; i <= LEVELS + 1; i++)
        count[i] = 1;
    memset(local, 1, sizeof local);
    CHECK(ARMCI_PutS(NULL, stride, parts[NEXT], stride, count, 1, NEXT) != 0, "no source");
    CHECK(ARMCI_PutS(local, stride, NULL, stride, count, 1, NEXT) != 0, "no target");
    CHECK(ARMCI_PutS(local, NULL, parts[NEXT], stride, count, 1, NEXT) != 0, "no source strides");
    CHECK(ARMCI_PutS(local, stride, parts[NEXT], NULL, count, 1, NEXT) != 0, "no target strides");
    CHECK(ARMCI_PutS(local, stride, parts[NEXT], stride, NULL, 1, NEXT) != 0, "no counts");
    CHECK(ARMCI_PutS(local, stride, parts[NEXT], stride, count, -1, NEXT) != 0, "negative levels");
    CHECK(ARMCI_PutS(local, stride, parts[NEXT], stride, count, LEVELS + 1, NEXT) != 0,
          "too many levels");
    CHECK(ARMCI_PutS(local, stride, parts[NEXT], stride, negative, 1, NEXT) != 0, "negative count");
    CHECK(ARMCI_PutS(local, stride, parts[NEXT], stride, count, 1, size) != 0, "no such rank");
    CHECK(ARMCI_GetS(parts[NEXT], stride, local, stride, count, LEVELS + 1, NEXT) != 0,
          "too many levels");
    CHECK(ARMCI_GetS(parts[NEXT], stride, local, stride, count, 1, -3) != 0, "no such rank");
    CHECK(ARMCI_AccS(ARMCI_ACC_DBL, &one, local, stride, parts[NEXT], stride, count, LEVELS + 1,
                     NEXT) != 0,
          "too many levels");
    CHECK(ARMCI_NbPutS(local, stride, parts[NEXT], stride, count, LEVELS + 1, NEXT, NULL) != 0,
          "too many levels");
    CHECK(ARMCI_NbGetS(parts[NEXT], stride, local, stride, NULL, 1, NEXT, NULL) != 0, "no counts");
    if (size > 1) {
        int far[] = {1 << 20}, two[] = {8, 2}, back[] = {-(1 << 20)};
        CHECK(ARMCI_PutS(local, stride, parts[NEXT], far, two, 1, NEXT) != 0,
              "the second row is outside");
        CHECK(ARMCI_PutS(local, stride, parts[NEXT], back, two, 1, NEXT) != 0,
              "the second row is before");
    }
    ARMCI_Barrier();
    for (int i = 0; i < 640; i++)
        CHECK(((char *)parts[rank])[i] == 0, "byte %d", i);
    release(parts);
}

static void with_a_flag(void)
{
    void **parts = shared(1024);
    char local[400], expected[400];
    int near[] = {40}, far[] = {80}, count[] = {40, 10};
    volatile int *flag = (volatile int *)at(parts, rank, 1000);
    for (int round = 1; round <= 20; round++) {
        fill(local, 400, rank, round);
        fill(expected, 400, PREVIOUS, round);
        int *next_flag = (int *)at(parts, NEXT, 1000);
        int outcome = round % 2 ? ARMCI_PutS_flag(local, near, parts[NEXT], far, count, 1,
                                                  next_flag, round, NEXT)
                                : ARMCI_PutS_flag_dir(local, near, parts[NEXT], far, count, 1,
                                                      next_flag, round, NEXT);
        CHECK(outcome == 0, "round %d", round);
        while (*flag < round)
            ARMCIX_Progress();
        for (int row = 0; row < 10; row++)
            CHECK(memcmp(at(parts, rank, 80L * row), expected + 40 * row, 40) == 0,
                  "round %d, row %d", round, row);
        ARMCI_Barrier();
    }
    CHECK(ARMCI_PutS_flag(local, near, parts[NEXT], far, count, 1, NULL, 1, NEXT) != 0, "no flag");
    release(parts);
}

static void packing(void)
{
    char memory[ROOM], packed[ROOM], back[ROOM];
    make_sections();
    fill(memory, ROOM, rank, 1);
    for (int levels = 0; levels <= LEVELS; levels++) {
        section *s = &sections[levels];
        int total = rows(s, near_rows, far_rows);
        armci_write_strided(memory, levels, s->near, s->count, packed);
        for (int row = 0; row < total; row++)
            CHECK(memcmp(packed + 5 * row, memory + near_rows[row], 5) == 0, "%d levels, row %d",
                  levels, row);
        memset(back, 0x55, ROOM);
        armci_read_strided(back, levels, s->near, s->count, packed);
        CHECK(moved(s, memory, near_rows, back, near_rows, 0x55), "%d levels", levels);
    }
}

const test_case strided_cases[] = {
    {"strided: put and get", put_and_get},
    {"strided: non-blocking", non_blocking},
    {"strided: a matrix", a_matrix},
    {"strided: zero counts", zero_counts},
    {"strided: one row without strides", one_row_without_strides},
    {"strided: backwards and standing still", strides_may_go_backwards_and_stand_still},
    {"strided: wrong arguments", wrong_arguments},
    {"strided: with a flag", with_a_flag},
    {"strided: packing", packing},
    {0},
};
