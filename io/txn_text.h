/* Transactions as people write them.
 *
 *   transaction = { clause }
 *   clause      = "if" KEY "=" VERSION | "if" KEY "!=" VERSION | "if" KEY "absent" | "if" KEY "exists"
 *               | [ "then" | "else" ] write
 *   write       = "put" KEY VALUE | "del" KEY | "append" KEY VALUE
 *
 * A write without "then" or "else" belongs to "then"; each of these words speaks for one write only. In a text, words
 * are parted by blanks and line ends, "#" begins a comment, and a word in double quotes may hold anything, with the
 * escapes \" \\ \n \t and \xHH. */
#ifndef WW_TXN_TEXT_H
#define WW_TXN_TEXT_H

#include "client.h"

enum { TXN_TEXT_WORDS_MAX = 1024, TXN_TEXT_ERROR_BYTES = 128 };

/* Cuts `text` into words, in place. Their count; or -1 with the problem in `error`. */
int txn_text_split(char *text, uint32_t text_bytes, struct slice words[TXN_TEXT_WORDS_MAX],
                   char error[TXN_TEXT_ERROR_BYTES]);

/* Adds the clauses to txn. False with the problem in `error`. */
bool txn_text_parse(const struct slice *words, uint32_t word_count, struct client_txn *txn,
                    char error[TXN_TEXT_ERROR_BYTES]);

#endif
