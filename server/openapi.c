#include "openapi.h"

/* The assembler's .incbin instead of a generated array: no step between the file
 * and the program. OPENAPI_FILE is the CMake file's. */
__asm__(".section .rodata\n"
        ".global openapi_document\n"
        ".hidden openapi_document\n"
        "openapi_document:\n"
        ".incbin \"" OPENAPI_FILE "\"\n"
        "openapi_document_end_label:\n"
        ".byte 0\n"
        ".balign 8\n"
        ".global openapi_document_length\n"
        ".hidden openapi_document_length\n"
        "openapi_document_length:\n"
        ".quad openapi_document_end_label - openapi_document\n"
        ".previous\n");
