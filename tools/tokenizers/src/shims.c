/* What Oniguruma calls of C's library. It prints nothing here, and its messages are put together without printf. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef stdout
FILE *const stdout = 0;

int fprintf(FILE *restrict stream, const char *restrict format, ...) { return 0; }
int fflush(FILE *stream) { return 0; }
int vsnprintf(char *restrict to, size_t size, const char *restrict format, va_list arguments) {
    if (size > 0) *to = 0;
    return 0;
}
int snprintf(char *restrict to, size_t size, const char *restrict format, ...) {
    if (size > 0) *to = 0;
    return 0;
}
size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length]) length++;
    return length;
}
int strcmp(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *(const unsigned char *)a - *(const unsigned char *)b;
}
