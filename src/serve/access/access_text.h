#ifndef SERVE_ACCESS_ACCESS_TEXT_H
#define SERVE_ACCESS_ACCESS_TEXT_H

#include "serve/access/access_format.h"

/* The parts of a line of the access log. Each appends to the line; a line without memory fails. */

void access_put(struct access_line *line, struct str text);

/* Latin-1 text from outside, as UTF-8, escaped. */
void access_put_escaped(struct access_line *line, struct str text);

/* The same for text that is UTF-8 already. */
void access_put_utf8(struct access_line *line, struct str text);

/* The inside of a JSON string, in ASCII: of Latin-1 text, and of text in UTF-8. */
void access_put_json(struct access_line *line, struct str text);
void access_put_json_utf8(struct access_line *line, struct str text);

/* A decimal number, with zeros before it up to `digits`. */
void access_put_number(struct access_line *line, uint64_t number, int digits);

/* "[21/Nov/2026:07:05:00 +0000]" and "2026-11-21T07:05:00.000000Z": now. */
void access_put_time(struct access_line *line);
void access_put_iso_time(struct access_line *line);

enum { ACCESS_USER_MAX = 256 }; /* bytes of a user's name; a longer one is cut */

/* The user of Basic credentials (RFC 7617), in UTF-8; 0 bytes when there is none. */
size_t access_user(struct str authorization, char user[ACCESS_USER_MAX]);

#endif
