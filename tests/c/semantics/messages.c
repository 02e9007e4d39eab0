/* Messages from rank to rank, and broadcasts. */
#include "check.h"

static void every_length(void)
{
    static const int lengths[] = {0, 1, 7, 8, 16, 17, 100, 1000, 4095, 4096, 8192, 8193, 100000};
    char *out = malloc(100000), *in = malloc(100000);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        int length = -1;
        fill(out, lengths[i], rank, (int)i);
        armci_msg_snd(5, out, lengths[i], NEXT);
        armci_msg_rcv(5, in, 100000, &length, PREVIOUS);
        CHECK(length == lengths[i], "%d bytes, not %d", length, lengths[i]);
        CHECK(wrong(in, lengths[i], PREVIOUS, (int)i) == 0, "%d bytes", lengths[i]);
    }
    free(in);
    free(out);
}

static void megabytes(void)
{
    enum { BYTES = 3 << 20 };
    char *out = malloc(BYTES), *in = malloc(BYTES);
    fill(out, BYTES, rank, 1);
    /* Pairs, so that nobody sends to somebody who does not receive. */
    for (int distance = 1; distance < size; distance <<= 1) {
        int peer = rank ^ distance;
        if (peer >= size)
            continue;
        if (rank < peer) {
            armci_msg_snd(6, out, BYTES, peer);
            armci_msg_rcv(6, in, BYTES, NULL, peer);
        } else {
            armci_msg_rcv(6, in, BYTES, NULL, peer);
            armci_msg_snd(6, out, BYTES, peer);
        }
        CHECK(wrong(in, BYTES, peer, 1) == 0, "from %d", peer);
    }
    free(in);
    free(out);
}

static void tags_out_of_order(void)
{
    enum { TAGS = 20 };
    for (int tag = 0; tag < TAGS; tag++) {
        int values[2] = {100 * rank + tag, tag};
        armci_msg_snd(1000 + tag, values, sizeof values, NEXT);
    }
    for (int tag = TAGS - 1; tag >= 0; tag--) {
        int values[2] = {-1, -1};
        armci_msg_rcv(1000 + tag, values, sizeof values, NULL, PREVIOUS);
        CHECK(values[0] == 100 * PREVIOUS + tag && values[1] == tag, "tag %d: %d, %d", tag,
              values[0], values[1]);
    }
    armci_msg_barrier();
}

static void one_tag_keeps_its_order(void)
{
    for (int i = 0; i < 200; i++) {
        armci_msg_snd(7, &i, sizeof i, NEXT);
        if (i % 10 == 9)
            for (int j = i - 9; j <= i; j++) {
                int value = -1;
                armci_msg_rcv(7, &value, sizeof value, NULL, PREVIOUS);
                CHECK(value == j, "%d, not %d", value, j);
            }
    }
}

static void from_anybody(void)
{
    char *seen = calloc((size_t)size, 1);
    if (rank == 0) {
        for (int i = 1; i < size; i++) {
            int value = -1, length = 0;
            int from = armci_msg_rcvany(8, &value, sizeof value, &length);
            CHECK(from > 0 && from < size && value == 10 * from && length == sizeof value,
                  "%d of %d", value, from);
            if (from > 0 && from < size)
                CHECK(seen[from]++ == 0, "twice from %d", from);
        }
    } else {
        int value = 10 * rank, noise = -1;
        armci_msg_snd(9, &noise, sizeof noise, 0);
        armci_msg_snd(8, &value, sizeof value, 0);
    }
    if (rank == 0)
        for (int i = 1; i < size; i++) {
            int value = 0;
            armci_msg_rcv(9, &value, sizeof value, NULL, i);
            CHECK(value == -1, "%d", value);
        }
    free(seen);
    armci_msg_barrier();
}

static void to_oneself(void)
{
    long value = 5 + rank, found = 0;
    int length;
    armci_msg_snd(10, &value, sizeof value, rank);
    value = 0;
    armci_msg_rcv(10, &found, sizeof found, &length, rank);
    CHECK(found == 5 + rank && length == sizeof found, "%ld", found);
}

static void a_shorter_message_than_the_buffer(void)
{
    char in[100];
    int length = -1;
    memset(in, 3, sizeof in);
    armci_msg_snd(11, "short", 6, NEXT);
    armci_msg_rcv(11, in, sizeof in, &length, PREVIOUS);
    CHECK(length == 6 && strcmp(in, "short") == 0 && in[6] == 3, "%d bytes", length);
}

static void everybody_to_everybody(void)
{
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < size; i++) {
            int value = 1000 * rank + 10 * round;
            armci_msg_snd(12, &value, sizeof value, (rank + i) % size);
        }
        for (int i = 0; i < size; i++) {
            int value = -1, from = (rank + size - i) % size;
            armci_msg_rcv(12, &value, sizeof value, NULL, from);
            CHECK(value == 1000 * from + 10 * round, "from %d: %d", from, value);
        }
    }
}

static void messages_and_puts(void)
{
    /* A message says that a put is there. */
    void **parts = shared(1000);
    char data[1000];
    for (int round = 0; round < 20; round++) {
        fill(data, 1000, rank, round);
        CHECK(ARMCI_Put(data, parts[NEXT], 1000, NEXT) == 0, "round %d", round);
        ARMCI_Fence(NEXT);
        armci_msg_snd(13, NULL, 0, NEXT);
        armci_msg_rcv(13, NULL, 0, NULL, PREVIOUS);
        CHECK(wrong(parts[rank], 1000, PREVIOUS, round) == 0, "round %d", round);
        armci_msg_barrier();
    }
    release(parts);
}

static void broadcasts(void)
{
    static const int lengths[] = {0, 1, 100, 8192, 8193, 50000};
    char *data = malloc(50000);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (int root = 0; root < size; root++) {
            fill(data, lengths[i], rank, root);
            armci_msg_brdcst(data, lengths[i], root);
            CHECK(wrong(data, lengths[i], root, root) == 0, "brdcst of %d bytes from %d",
                  lengths[i], root);
            fill(data, lengths[i], rank, root);
            armci_msg_bcast(data, lengths[i], root);
            CHECK(wrong(data, lengths[i], root, root) == 0, "bcast of %d bytes from %d", lengths[i],
                  root);
            fill(data, lengths[i], rank, root);
            armci_msg_bcast_scope(SCOPE_ALL, data, lengths[i], root);
            CHECK(wrong(data, lengths[i], root, root) == 0, "bcast_scope of %d bytes from %d",
                  lengths[i], root);
            fill(data, lengths[i], rank, root);
            armci_msg_bcast_scope(SCOPE_MASTERS, data, lengths[i], root);
            CHECK(wrong(data, lengths[i], root, root) == 0, "masters: %d bytes from %d", lengths[i],
                  root);
            fill(data, lengths[i], rank, root);
            armci_msg_bcast_scope(SCOPE_NODE, data, lengths[i], rank);
            armci_msg_clus_brdcst(data, lengths[i]);
            CHECK(wrong(data, lengths[i], rank, root) == 0, "alone: %d bytes", lengths[i]);
        }
    free(data);
}

static void trees(void)
{
    int root, up, left, right;
    armci_msg_bintree(SCOPE_ALL, &root, &up, &left, &right);
    CHECK(root == 0, "%d", root);
    CHECK(up == (rank == 0 ? -1 : (rank - 1) / 2), "%d", up);
    CHECK(left == (2 * rank + 1 < size ? 2 * rank + 1 : -1), "%d", left);
    CHECK(right == (2 * rank + 2 < size ? 2 * rank + 2 : -1), "%d", right);
    armci_msg_bintree(SCOPE_NODE, &root, &up, &left, &right);
    CHECK(root == rank && up == -1 && left == -1 && right == -1, "alone: %d %d %d %d", root, up,
          left, right);
    armci_msg_bintree(SCOPE_MASTERS, &root, &up, &left, &right);
    CHECK(root == 0 && left == (2 * rank + 1 < size ? 2 * rank + 1 : -1), "%d", left);
    armci_msg_group_bintree(SCOPE_ALL, &root, &up, &left, &right, NULL);
    CHECK(root == 0 && right == (2 * rank + 2 < size ? 2 * rank + 2 : -1), "%d", right);
}

static void barriers(void)
{
    /* Nobody is more than one barrier ahead. */
    void **parts = shared(8);
    for (long round = 1; round <= 100; round++) {
        *(volatile long *)parts[rank] = round;
        if (round % 2)
            armci_msg_barrier();
        else
            ARMCI_Barrier();
        long seen = ARMCI_GetValueLong(parts[NEXT], NEXT);
        CHECK(seen == round || seen == round + 1, "%ld in round %ld", seen, round);
    }
    release(parts);
}

const test_case message_cases[] = {
    {"messages: every length", every_length},
    {"messages: megabytes", megabytes},
    {"messages: tags out of order", tags_out_of_order},
    {"messages: one tag keeps its order", one_tag_keeps_its_order},
    {"messages: from anybody", from_anybody},
    {"messages: to oneself", to_oneself},
    {"messages: shorter than the buffer", a_shorter_message_than_the_buffer},
    {"messages: everybody to everybody", everybody_to_everybody},
    {"messages: and puts", messages_and_puts},
    {"messages: broadcasts", broadcasts},
    {"messages: trees", trees},
    {"messages: barriers", barriers},
    {0},
};
