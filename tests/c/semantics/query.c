/* Start, domains, settings. */
#include "check.h"

static void start_again(void)
{
    CHECK(ARMCI_Init() == 0, "a second call is legal");
    CHECK(ARMCI_Init_args(NULL, NULL) == 0, "without arguments");
    CHECK(ARMCI_Init_thread(0) == 0, "with a thread level");
    CHECK(PARMCI_Initialized() == 1 && armci_msg_initialized() == 1, "after ARMCI_Init");
    CHECK(rank >= 0 && rank < size, "rank %d of %d", rank, size);
}

static void ranks_are_all_there(void)
{
    int *seen = calloc((size_t)size, sizeof *seen);
    seen[rank] = 1;
    armci_msg_igop(seen, size, "+");
    for (int i = 0; i < size; i++)
        CHECK(seen[i] == 1, "rank %d is there %d times", i, seen[i]);
    free(seen);
}

static void domains(void)
{
    int count = armci_domain_count(ARMCI_DOMAIN_SMP), total = 0;
    CHECK(count >= 1 && count <= size, "%d domains", count);
    for (int domain = 0; domain < count; domain++) {
        int members = armci_domain_nprocs(ARMCI_DOMAIN_SMP, domain);
        CHECK(members >= 1, "domain %d has %d", domain, members);
        for (int i = 0; i < members; i++) {
            int proc = armci_domain_glob_proc_id(ARMCI_DOMAIN_SMP, domain, i);
            CHECK(armci_domain_id(ARMCI_DOMAIN_SMP, proc) == domain, "rank %d", proc);
        }
        total += members;
    }
    CHECK(total == size, "domains have %d ranks in all", total);
    int own = armci_domain_my_id(ARMCI_DOMAIN_SMP);
    CHECK(own == armci_domain_id(ARMCI_DOMAIN_SMP, rank), "own domain %d", own);
    CHECK(armci_domain_nprocs(ARMCI_DOMAIN_SMP, -1) == armci_domain_nprocs(ARMCI_DOMAIN_SMP, own),
          "-1 is the own one");
    for (int proc = 0; proc < size; proc++) {
        int same = ARMCI_Same_node(proc);
        CHECK(same == armci_domain_same_id(ARMCI_DOMAIN_SMP, proc), "rank %d", proc);
        CHECK(same == armci_sameclusnode(proc), "rank %d", proc);
        CHECK(same == (proc == rank), "memory of rank %d must not be touched directly", proc);
    }
    CHECK(ARMCI_Same_node(-1) == 0 && ARMCI_Same_node(size) == 0, "no such rank");
    CHECK(armci_domain_id(ARMCI_DOMAIN_SMP, size) < 0, "no such rank");
    CHECK(armci_domain_glob_proc_id(ARMCI_DOMAIN_SMP, count, 0) < 0, "no such domain");
    CHECK(armci_domain_nprocs(ARMCI_DOMAIN_SMP, count) == 0, "no such domain");
}

static void settings(void)
{
    ARMCI_Group world;
    ARMCI_Group_get_world(&world);
    CHECK(ARMCI_Uses_shm() == 0 && ARMCI_Uses_shm_grp(&world) == 0, "memory is never shared");
    ARMCI_Set_shm_limit(1UL << 30);
    ARMCI_Set_shmem_limit(1UL << 30);
}

static void timer(void)
{
    double start = armci_timer(), now = start;
    for (long i = 0; now <= start && i < 100000000; i++)
        now = armci_timer();
    CHECK(now > start && now < start + 60, "from %f to %f", start, now);
}

const test_case query_cases[] = {
    {"query: start again", start_again},
    {"query: all ranks are there", ranks_are_all_there},
    {"query: domains", domains},
    {"query: settings", settings},
    {"query: timer", timer},
    {0},
};
