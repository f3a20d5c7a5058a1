/*
 * A preloaded resolver: the names of a test, and what was asked.
 *
 * HOSTILE_NAMES is the file to which every name that is looked up is appended, a line each. Names answer:
 *   granted.test   192.0.2.1, an address that nobody has
 *   rebound.test   192.0.2.1 at first, 127.0.0.1 from then on
 * and every other name is unknown. Numeric addresses go to the real resolver.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int resolver(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int is_numeric(const char *node) {
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, node, address) == 1 || inet_pton(AF_INET6, node, address) == 1;
}

static void note(const char *node) {
    const char *file = getenv("HOSTILE_NAMES");
    int log = file ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (log < 0)
        return;
    char line[300];
    int length = snprintf(line, sizeof line, "%.250s\n", node);
    if (write(log, line, (size_t)length) != length)
        abort();
    close(log);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **answer) {
    static resolver *real;
    static unsigned rebound;
    if (!real)
        real = (resolver *)dlsym(RTLD_NEXT, "getaddrinfo");
    if (!node || is_numeric(node))
        return real(node, service, hints, answer);
    note(node);
    if (strcmp(node, "granted.test") == 0)
        return real("192.0.2.1", service, hints, answer);
    if (strcmp(node, "rebound.test") == 0)
        return real(__atomic_fetch_add(&rebound, 1, __ATOMIC_SEQ_CST) ? "127.0.0.1" : "192.0.2.1", service, hints, answer);
    return EAI_NONAME;
}
