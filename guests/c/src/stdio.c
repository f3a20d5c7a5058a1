// Standard output goes to the daemon's log line by line. The C library would keep it back until its buffer is full, and
// a plugin never exits.
#ifdef __wasm__
#include <stdio.h>

// Weak: a plugin that does not print does not get the C library's output for this.
#undef stdout
extern FILE *const stdout __attribute__((__weak__));

__attribute__((__constructor__)) static void print_line_by_line(void) {
    if (&stdout != NULL) {
        setvbuf(stdout, NULL, _IOLBF, 0);
    }
}
#endif
