/* Writes the page: the template, and the data where its mark is. */
#include <inttypes.h>
#include <string.h>

#include "html.h"

/* JSON that may stand in a script element. */
static void write_text(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < ' ' || c == '"' || c == '\\' || c == '<' || c >= 127)
            fprintf(to, "\\u%04x", (unsigned)c);
        else
            fputc(c, to);
    }
    fputc('"', to);
}

static void write_base64(FILE *to, const struct html_bytes *bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    fputc('"', to);
    for (size_t at = 0; at < bytes->count; at += 3) {
        const size_t left = bytes->count - at;
        const uint32_t word = (uint32_t)bytes->bytes[at] << 16 | (left > 1 ? (uint32_t)bytes->bytes[at + 1] << 8 : 0)
                              | (left > 2 ? bytes->bytes[at + 2] : 0U);
        fputc(digits[word >> 18], to);
        fputc(digits[word >> 12 & 63], to);
        fputc(left > 1 ? digits[word >> 6 & 63] : '=', to);
        fputc(left > 2 ? digits[word & 63] : '=', to);
    }
    fputc('"', to);
}

static void write_names(FILE *to, const char *name, uint32_t count, const char *(*text)(uint32_t))
{
    fprintf(to, ",\n\"%s\":[", name);
    for (uint32_t i = 0; i < count; i++) {
        fputs(i > 0 ? "," : "", to);
        write_text(to, text(i));
    }
    fputc(']', to);
}

static const char *name_of_kind(uint32_t kind) { return observed_kind_text((enum observed_kind)kind); }
static const char *name_of_role(uint32_t role) { return raft_role_text((enum raft_role)role); }
static const char *name_of_fate(uint32_t fate) { return frame_fate_text((enum frame_fate)fate); }

static void write_data(const struct html *html, const char *title, FILE *to)
{
    static const char *const columns[HTML_COLUMNS] = {
        [HTML_KIND] = "kind",
        [HTML_WHO] = "who",
        [HTML_TIME] = "time",
        [HTML_STEP] = "step",
        [HTML_CAUSE] = "cause",
        [HTML_A] = "a",
        [HTML_B] = "b",
        [HTML_C] = "c",
        [HTML_D] = "d",
        [HTML_DETAILS_BYTES] = "detailsBytes",
        [HTML_STATE_BYTES] = "stateBytes",
        [HTML_DETAILS] = "details",
        [HTML_STATES] = "states",
    };
    fprintf(to, "{\"version\":%d,\"title\":", HTML_VERSION);
    write_text(to, title);
    fprintf(to, ",\"count\":%" PRIu32 ",\"nodes\":%" PRIu32 ",\"firstClient\":%d,\"endpoints\":%d", html->count,
            html->swarm.node_count, ENDPOINT_CLIENT, ENDPOINTS);
    fputs(",\"ids\":[", to);
    for (uint32_t slot = 0; slot < html->swarm.node_count; slot++)
        fprintf(to, "%s\"%" PRIu64 "\"", slot > 0 ? "," : "", html->swarm.configs[slot].node_id);
    fputc(']', to);
    write_names(to, "kinds", OBSERVED_KINDS, name_of_kind);
    write_names(to, "roles", RAFT_STOPPED + 1, name_of_role);
    write_names(to, "fates", FATE_KINDS, name_of_fate);
    write_names(to, "cuts", CUTS, cut_text);
    fputs(",\n\"texts\":[", to);
    for (uint32_t i = 0; i < html->texts.count; i++) {
        fputs(i > 0 ? "," : "", to);
        write_text(to, (const char *)html->texts.bytes.bytes + html->texts.at[i]);
    }
    fputs("],\n\"columns\":{", to);
    for (uint32_t column = 0; column < HTML_COLUMNS; column++) {
        fprintf(to, "%s\n\"%s\":", column > 0 ? "," : "", columns[column]);
        write_base64(to, &html->columns[column]);
    }
    fputs("}}\n", to);
}

/* What is printed of parameters has neither '<' nor '&'. */
bool html_write(const struct html *html, const char *title, FILE *to)
{
    static const char data_mark[] = "@data@", parameters_mark[] = "@parameters@";
    const char *const template = (const char *)html_template;
    const char *data = strstr(template, data_mark);
    const char *parameters = data != NULL ? strstr(data, parameters_mark) : NULL;
    ASSERT(data != NULL && parameters != NULL);
    if (html->failed)
        return false;
    fwrite(template, 1, (size_t)(data - template), to);
    write_data(html, title, to);
    data += sizeof data_mark - 1;
    fwrite(data, 1, (size_t)(parameters - data), to);
    if (html->drawn)
        swarm_print(&html->swarm, to);
    fputs(parameters + sizeof parameters_mark - 1, to);
    return ferror(to) == 0;
}
