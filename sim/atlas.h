/* The atlas of a schedule: which damage may strike where, so that a schedule demands only what is possible.
 *
 * Three regimes, drawn with the schedule:
 *
 *   minority      everything may break on a minority of the nodes, the first ones that are struck; the others suffer
 *                 what a node repairs alone. So a majority keeps all that was acknowledged.
 *   places        any node may be struck, but each entry and each page only on a minority: which one, its number says.
 *                 What says what is there is spared, and what has no number yet: headers of batches, blocks of the
 *                 page map and of a checkpoint that is being written.
 *   unrestricted  anything may break anywhere. Safety alone is demanded: refuse rather than lie.
 *
 * The first two are recoverable: safety and liveness are demanded. All three leave out what no node can tell from a
 * crash or from the past (storage design 2.8): damage in the latest batches, which no name and no later batch has
 * proved durable yet, when the power fails; and more than one block of the superblocks, or of the header ring, that is
 * still what it was before. */
#ifndef WW_ATLAS_H
#define WW_ATLAS_H

#include "disk.h"

/* What nodes repair with the help of their peers, so far. Damage that they do not repair comes to a minority, if it
 * only stops a node, or to nobody, if it can stop the cluster (a leader without its pages). */
enum { ATLAS_LOG_IS_REPAIRED = 1, ATLAS_PAGES_ARE_REPAIRED = 1 };

/* Parts of a disk that differ in what their damage means. */
enum zone { ZONE_SUPERBLOCK, ZONE_HEADER, ZONE_BODY, ZONE_DATA, ZONE_KINDS };
enum zone atlas_zone(const struct limits *limits, uint32_t device, uint64_t block);
/* Blocks of the zone: [first, end) of its device. */
void atlas_zone_blocks(const struct limits *limits, enum zone zone, uint32_t *first, uint32_t *end);

/* May that harm come to the block now? */
bool atlas_allows(const struct scene *scene, const struct disk *disk, uint32_t device, uint64_t block, enum harm harm);
/* May the node lose all that it has? Its new directory must rejoin: where each thing is lost on a minority by its
 * number, those others could all lack the same thing. */
bool atlas_allows_wipe(const struct scene *scene, const struct disk *disk);
/* The page that the node's durable checkpoint has in that block, and the block that it has for a page; UINT32_MAX:
 * none. */
uint32_t atlas_page_in(const struct scene *scene, const struct disk *disk, uint32_t block);
uint32_t atlas_block_of(const struct scene *scene, const struct disk *disk, uint32_t page);
/* So many bytes at the beginning of the block stay as they are when it is altered. */
uint32_t atlas_spared_bytes(const struct scene *scene, const struct disk *disk, uint32_t device, uint64_t block);
/* It came: the atlas remembers the node. */
void atlas_note(struct scene *scene, struct disk *disk, uint32_t device, uint64_t block, enum harm harm);

/* Is the copy of the superblock that the block is part of lost already? */
bool atlas_copy_harmed(const struct scene *scene, const struct disk *disk, uint64_t block);

/* Part of a batch that no intact name proves: whoever loses it with the power cannot know. */
bool atlas_unproved(const struct scene *scene, const struct disk *disk, uint32_t device, uint64_t block);

#endif
