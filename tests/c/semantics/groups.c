/* Groups of ranks. */
#include "check.h"

#include <armcix.h>

/* The ranks of one parity: a group of every other rank. The array is good until the next call. */
static int *alike(int parity, int *count)
{
    static int list[4096];
    *count = 0;
    for (int i = parity; i < size; i += 2)
        list[(*count)++] = i;
    return list;
}

static void the_world(void)
{
    ARMCI_Group world, other;
    int own = -1, members = -1;
    ARMCI_Group_get_world(&world);
    CHECK(ARMCI_Group_rank(&world, &own) == 0 && own == rank, "%d", own);
    ARMCI_Group_size(&world, &members);
    CHECK(members == size, "%d", members);
    ARMCI_Group_get_default(&other);
    CHECK(other == world, "the world is the default");
    for (int i = 0; i < size; i++)
        CHECK(ARMCI_Absolute_id(&world, i) == i, "rank %d", i);
    CHECK(ARMCI_Absolute_id(&world, -1) < 0 && ARMCI_Absolute_id(&world, size) < 0, "no such rank");
    ARMCI_GroupFence(&world);
    armci_msg_group_barrier(&world);
    armci_msg_group_barrier(NULL);
}

static void members_only(void)
{
    int count, own = 77, members = -1;
    int *list = alike(rank % 2, &count);
    ARMCI_Group group;
    ARMCI_Group_create(count, list, &group);
    CHECK(ARMCI_Group_rank(&group, &own) == 0 && own == rank / 2, "%d", own);
    ARMCI_Group_size(&group, &members);
    CHECK(members == count, "%d", members);
    for (int i = 0; i < count; i++)
        CHECK(ARMCI_Absolute_id(&group, i) == list[i], "rank %d", i);
    CHECK(ARMCI_Absolute_id(&group, count) < 0, "no such rank");
    /* The two groups do not wait for each other. */
    for (int i = 0; i < 10 + 20 * (rank % 2); i++)
        armci_msg_group_barrier(&group);
    ARMCI_Group_free(&group);
    ARMCI_Barrier();
}

static void others_may_call_it_too(void)
{
    int count, own = 77, members = -1;
    int *list = alike(0, &count);
    ARMCI_Group group;
    ARMCI_Group_create(count, list, &group);
    int outcome = ARMCI_Group_rank(&group, &own);
    ARMCI_Group_size(&group, &members);
    if (rank % 2 == 0)
        CHECK(outcome == 0 && own == rank / 2 && members == count, "member %d of %d", own, members);
    else
        CHECK(outcome != 0 && own == -1, "not a member, and yet %d", own);
    ARMCI_Group_free(&group);
    ARMCI_Barrier();
}

static void a_group_of_nobody(void)
{
    int nobody[1] = {0}, own = -2, members = -2;
    ARMCI_Group group, world, child;
    ARMCI_Group_create(0, nobody, &group);
    CHECK(ARMCI_Group_rank(&group, &own) != 0 && own == -1, "not a member, and yet %d", own);
    ARMCI_Group_size(&group, &members);
    CHECK(members == 0, "%d", members);
    ARMCI_Group_get_world(&world);
    ARMCI_Group_create_child(0, NULL, &child, &world);
    CHECK(child != group && ARMCI_Absolute_id(&child, 0) < 0, "nobody");
    ARMCI_Group_free(&child);
    ARMCI_Group_free(&group);
    ARMCI_Barrier();
}

static void memory_of_a_group(void)
{
    enum { BYTES = 2000 };
    int count;
    int *list = alike(rank % 2, &count);
    ARMCI_Group group;
    ARMCI_Group_create(count, list, &group);
    void **parts = calloc((size_t)count, sizeof *parts);
    for (int round = 0; round < 5; round++) {
        char data[BYTES];
        int own = rank / 2, next = (own + 1) % count, previous = (own + count - 1) % count;
        CHECK(ARMCI_Malloc_group(parts, round == 3 && own == 0 ? 0 : BYTES, &group) == 0,
              "round %d", round);
        CHECK((parts[0] == NULL) == (round == 3), "round %d: %p", round, parts[0]);
        if (parts[next]) {
            fill(data, BYTES, rank, round);
            CHECK(ARMCI_Put(data, parts[next], BYTES, ARMCI_Absolute_id(&group, next)) == 0,
                  "to member %d", next);
        }
        ARMCI_GroupFence(&group);
        armci_msg_group_barrier(&group);
        if (parts[own])
            CHECK(wrong(parts[own], BYTES, ARMCI_Absolute_id(&group, previous), round) == 0,
                  "from member %d", previous);
        armci_msg_group_barrier(&group);
        CHECK(ARMCI_Free_group(parts[own], &group) == 0, "round %d", round);
    }
    int on_stack;
    CHECK(ARMCI_Free_group(&on_stack, &group) != 0, "not from ARMCI_Malloc_group");
    free(parts);
    armci_msg_group_barrier(&group);
    ARMCI_Group_free(&group);
    ARMCI_Barrier();
}

static void memory_that_one_has_not(void)
{
    int count;
    int *list = alike(rank % 2, &count);
    ARMCI_Group group;
    ARMCI_Group_create(count, list, &group);
    void **parts = calloc((size_t)count, sizeof *parts);
    for (int i = 0; i < count; i++)
        parts[i] = &count;
    CHECK(ARMCI_Malloc_group(parts, rank / 2 == 0 ? 1L << 60 : 64, &group) != 0,
          "more than there can be");
    for (int i = 0; i < count; i++)
        CHECK(parts[i] == NULL, "member %d: %p", i, parts[i]);
    CHECK(ARMCI_Malloc_group(parts, 64, &group) == 0, "the next one is good");
    armci_msg_group_barrier(&group);
    CHECK(ARMCI_Free_group(parts[rank / 2], &group) == 0, "own part");
    free(parts);
    ARMCI_Group_free(&group);
    ARMCI_Barrier();
}

static void sums_and_broadcasts(void)
{
    int count, total = 0;
    int *list = alike(rank % 2, &count);
    ARMCI_Group group;
    ARMCI_Group_create(count, list, &group);
    for (int i = 0; i < count; i++)
        total += list[i];
    for (int round = 0; round < 20; round++) {
        int i = rank, least = rank;
        long l = rank;
        long long ll = rank;
        float f = (float)rank;
        double d = rank;
        armci_msg_group_igop(&i, 1, "+", &group);
        armci_msg_group_igop(&least, 1, "min", &group);
        armci_msg_group_lgop(&l, 1, "+", &group);
        armci_msg_group_llgop(&ll, 1, "+", &group);
        armci_msg_group_fgop(&f, 1, "max", &group);
        armci_msg_group_dgop(&d, 1, "+", &group);
        CHECK(i == total && l == total && ll == total && d == total, "%d %ld %lld %f, not %d", i, l,
              ll, d, total);
        CHECK(least == list[0] && f == (float)list[count - 1], "%d to %f", least, f);
        int root = list[round % count];
        char text[20000];
        fill(text, sizeof text, rank, round);
        armci_msg_group_bcast_scope(SCOPE_ALL, text, sizeof text, root, &group);
        CHECK(wrong(text, sizeof text, root, round) == 0, "from %d", root);
        fill(text, 100, rank, round);
        armci_grp_clus_brdcst(text, 100, list[0], count, &group);
        CHECK(wrong(text, 100, list[0], round) == 0, "from %d", list[0]);
        double many[3000];
        for (int j = 0; j < 3000; j++)
            many[j] = rank + j;
        armci_msg_group_gop_scope(SCOPE_ALL, many, 3000, "+", ARMCI_DOUBLE, &group);
        for (int j = 0; j < 3000; j++)
            CHECK(many[j] == total + (double)count * j, "element %d", j);
    }
    int alone = rank, all = 1;
    armci_msg_group_gop_scope(SCOPE_NODE, &alone, 1, "+", ARMCI_INT, &group);
    CHECK(alone == rank, "%d", alone);
    armci_msg_group_igop(&all, 1, "+", NULL);
    CHECK(all == size, "no group is the world: %d", all);
    ARMCI_Group_free(&group);
}

static void addresses(void)
{
    int count;
    int *list = alike(rank % 2, &count);
    ARMCI_Group group;
    ARMCI_Group_create(count, list, &group);
    void **pointers = calloc((size_t)size, sizeof *pointers);
    pointers[rank / 2] = (void *)((uintptr_t)1000 + (uintptr_t)rank);
    armci_exchange_address_grp(pointers, count, &group);
    for (int i = 0; i < count; i++)
        CHECK(pointers[i] == (void *)((uintptr_t)1000 + (uintptr_t)list[i]), "member %d: %p", i,
              pointers[i]);
    memset(pointers, 0, (size_t)size * sizeof *pointers);
    pointers[rank] = (char *)NULL + 0xfff000000001 + rank;
    armci_exchange_address(pointers, size);
    for (int i = 0; i < size; i++)
        CHECK(pointers[i] == (char *)NULL + 0xfff000000001 + i, "rank %d: %p", i, pointers[i]);
    free(pointers);
    ARMCI_Group_free(&group);
}

static void a_group_of_a_group(void)
{
    int count, own = -1, members = 0;
    int *list = alike(rank % 2, &count);
    ARMCI_Group parent, child, before;
    ARMCI_Group_create(count, list, &parent);
    /* All members but the first; numbers are those of the parent. */
    int *inner = malloc((size_t)size * sizeof *inner);
    for (int i = 1; i < count; i++)
        inner[i - 1] = i;
    if (rank / 2 > 0) {
        ARMCI_Group_create_child(count - 1, inner, &child, &parent);
        CHECK(ARMCI_Group_rank(&child, &own) == 0 && own == rank / 2 - 1, "%d", own);
        ARMCI_Group_size(&child, &members);
        CHECK(members == count - 1 && ARMCI_Absolute_id(&child, own) == rank, "%d members",
              members);
        armci_msg_group_barrier(&child);
        ARMCI_Group_free(&child);
    }
    /* With another default group, create goes by its numbers, all else by those of the world. */
    ARMCI_Group_get_default(&before);
    ARMCI_Group_set_default(&parent);
    ARMCI_Group now;
    ARMCI_Group_get_default(&now);
    CHECK(now == parent, "%d", now);
    int me = rank / 2;
    ARMCI_Group_create(1, &me, &child);
    CHECK(ARMCI_Absolute_id(&child, 0) == rank, "%d", ARMCI_Absolute_id(&child, 0));
    int one = 1;
    armci_msg_group_igop(&one, 1, "+", &child);
    CHECK(one == 1, "alone");
    ARMCI_Group_free(&child);
    ARMCI_Group_set_default(&before);
    free(inner);
    ARMCI_Group_free(&parent);
    ARMCI_Barrier();
}

static void many_groups_at_once(void)
{
    enum { MANY = 50 };
    ARMCI_Group groups[MANY];
    int count;
    int *list = alike(rank % 2, &count);
    for (int i = 0; i < MANY; i++)
        ARMCI_Group_create(count, list, &groups[i]);
    for (int i = 0; i < MANY; i++) {
        int one = 1;
        armci_msg_group_igop(&one, 1, "+", &groups[MANY - 1 - i]);
        CHECK(one == count, "group %d", i);
    }
    for (int i = 0; i < MANY; i++)
        ARMCI_Group_free(&groups[i]);
    for (int i = 0; i < 300; i++) {
        ARMCI_Group_create(count, list, &groups[0]);
        armci_msg_group_barrier(&groups[0]);
        ARMCI_Group_free(&groups[0]);
    }
    ARMCI_Barrier();
}

/* Groups that overlap, used in turn. */
static void overlapping(void)
{
    if (size < 3)
        return;
    int low[] = {0, 1}, high[] = {1, 2}, ends[] = {0, 2};
    ARMCI_Group a = -1, b = -1, c = -1;
    if (rank < 2)
        ARMCI_Group_create(2, low, &a);
    if (rank == 1 || rank == 2)
        ARMCI_Group_create(2, high, &b);
    if (rank == 0 || rank == 2)
        ARMCI_Group_create(2, ends, &c);
    for (int round = 0; round < 30; round++) {
        int sum = rank + round;
        if (rank < 2) {
            armci_msg_group_igop(&sum, 1, "+", &a);
            CHECK(sum == 1 + 2 * round, "%d", sum);
        }
        sum = rank + round;
        if (rank == 1 || rank == 2) {
            armci_msg_group_igop(&sum, 1, "+", &b);
            CHECK(sum == 3 + 2 * round, "%d", sum);
        }
        sum = rank + round;
        if (rank == 0 || rank == 2) {
            armci_msg_group_igop(&sum, 1, "+", &c);
            CHECK(sum == 2 + 2 * round, "%d", sum);
        }
    }
    if (a >= 0)
        ARMCI_Group_free(&a);
    if (b >= 0)
        ARMCI_Group_free(&b);
    if (c >= 0)
        ARMCI_Group_free(&c);
}

static void splitting(void)
{
    ARMCI_Group world, group, copy;
    int own = -1, members = -1;
    ARMCI_Group_get_world(&world);
    /* In three colours, backwards. */
    CHECK(ARMCIX_Group_split(&world, rank % 3, -rank, &group) == 0, "colour %d", rank % 3);
    CHECK(ARMCI_Group_rank(&group, &own) == 0, "member");
    ARMCI_Group_size(&group, &members);
    CHECK(members == (size - rank % 3 + 2) / 3, "%d members", members);
    CHECK(own == members - 1 - rank / 3, "member %d of %d", own, members);
    for (int i = 0; i < members; i++)
        CHECK(ARMCI_Absolute_id(&group, i) == rank % 3 + 3 * (members - 1 - i), "member %d", i);
    int one = 1;
    armci_msg_group_igop(&one, 1, "+", &group);
    CHECK(one == members, "%d", one);
    CHECK(ARMCIX_Group_dup(&group, &copy) == 0 && copy != group, "another group");
    CHECK(ARMCI_Absolute_id(&copy, own) == rank, "of the same ranks");
    armci_msg_group_barrier(&copy);
    ARMCI_Group_free(&copy);
    ARMCI_Group_free(&group);
    /* Rank 0 stays out. */
    CHECK(ARMCIX_Group_split(&world, rank == 0 ? -1 : 0, 0, &group) == 0, "no colour");
    CHECK((ARMCI_Group_rank(&group, &own) == 0) == (rank != 0), "%d", own);
    ARMCI_Group_free(&group);
    ARMCI_Barrier();
}

static void mutexes_of_a_group(void)
{
    int count;
    int *list = alike(rank % 2, &count);
    ARMCI_Group group;
    ARMCI_Group_create(count, list, &group);
    armcix_mutex_hdl_t set = ARMCIX_Create_mutexes_hdl(1, &group);
    CHECK(set != NULL, "of a group");
    for (int i = 0; i < 20; i++)
        for (int j = 0; j < count; j++) {
            ARMCIX_Lock_hdl(set, 0, list[j]);
            ARMCIX_Unlock_hdl(set, 0, list[j]);
        }
    if (size > 1)
        CHECK(ARMCIX_Trylock_hdl(set, 0, rank % 2 ? 0 : 1) < 0, "not in the group");
    CHECK(ARMCIX_Destroy_mutexes_hdl(set) == 0, "all");
    ARMCI_Group_free(&group);
    ARMCI_Barrier();
}

static void wrong_arguments(void)
{
    ARMCI_Group none = -5, group;
    void **parts = calloc((size_t)size, sizeof *parts);
    int own = 5, members = 5;
    CHECK(ARMCI_Group_rank(&none, &own) != 0 && own == -1, "no such group");
    ARMCI_Group_size(&none, &members);
    CHECK(members == 0, "no such group: %d", members);
    CHECK(ARMCI_Group_rank(NULL, &own) != 0, "no group");
    CHECK(ARMCI_Absolute_id(&none, 0) < 0 && ARMCI_Absolute_id(NULL, 0) < 0, "no such group");
    CHECK(ARMCI_Malloc_group(parts, 64, &none) != 0, "no such group");
    CHECK(ARMCI_Free_group(parts, &none) != 0, "no such group");
    CHECK(ARMCIX_Group_split(&none, 0, 0, &group) != 0, "no such group");
    CHECK(ARMCIX_Group_dup(&none, &group) != 0, "no such group");
    CHECK(ARMCIX_Create_mutexes_hdl(1, &none) == NULL, "no such group");
    free(parts);
}

const test_case group_cases[] = {
    {"groups: the world", the_world},
    {"groups: members only", members_only},
    {"groups: others may call it too", others_may_call_it_too},
    {"groups: nobody", a_group_of_nobody},
    {"groups: memory", memory_of_a_group},
    {"groups: memory that one has not", memory_that_one_has_not},
    {"groups: sums and broadcasts", sums_and_broadcasts},
    {"groups: addresses", addresses},
    {"groups: a group of a group", a_group_of_a_group},
    {"groups: many", many_groups_at_once},
    {"groups: overlapping", overlapping},
    {"groups: splitting", splitting},
    {"groups: mutexes", mutexes_of_a_group},
    {"groups: wrong arguments", wrong_arguments},
    {0},
};
