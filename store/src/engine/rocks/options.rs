//! How RocksDB is set up.
//!
//! Holds: memory, open files and logs are bounded; nothing wakes up while nobody writes.
//! Other half: RocksDB itself.

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel,
    Options,
};

/// What can be chosen about a [`RocksEngine`](super::RocksEngine).
#[derive(Debug, Clone)]
pub struct RocksOptions {
    /// Memory for parts of files, their indexes and filters among them.
    pub block_cache_octets: usize,
    /// Memory for what was written and isn't in a table yet. There are up to
    /// [`WRITE_BUFFERS_MAX`] of this size.
    pub write_buffer_octets: usize,
    /// Whether `commit` waits for the disk. `false` loses commits in a power loss, and is for
    /// tests and measurements only.
    pub sync: bool,
    /// Values of at least this size go to blob files, which compaction doesn't copy.
    pub blob_octets_min: u64,
    pub blob_compression: Compression,
    /// Files that are kept open.
    pub open_files_max: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Lz4,
    Zstd,
}

pub const WRITE_BUFFERS_MAX: i32 = 3;

/// So many tables of new rows are merged with the older ones at once. Each look for a row that isn't there asks their
/// filters; each merge writes all again.
const NEW_TABLES_MAX: i32 = 6;
/// Of the memory for what was written last, the part that is a filter of its keys.
const MEMTABLE_FILTER_SHARE: f64 = 0.02;

const MIB: u64 = 1024 * 1024;
/// The level that takes the least CPU. RocksDB's own default takes half as much again, for a few hundredths of the size. The
/// other numbers are its defaults.
const ZSTD_LEVEL: i32 = 1;
const ZSTD_WINDOW_BITS: i32 = -14;
const ZSTD_STRATEGY: i32 = 0;
const ZSTD_DICTIONARY_OCTETS: i32 = 0;
const BLOOM_BITS_PER_KEY: f64 = 10.0;
const BLOCK_OCTETS: usize = 8 * 1024;
/// RocksDB's default number of levels; the first of them are packed by LZ4: new tables, and those that they are merged with.
const LEVELS: usize = 7;
const FAST_LEVELS: usize = 2;
/// Where blob files are cleared, those of which more than this is garbage come first.
const GARBAGE_OF_FILE_MAX: f64 = 0.5;
const BLOB_FILE_OCTETS: u64 = 64 * MIB;
/// Files of logs that are kept to be written over. One is enough as long as tables are written as fast as logs.
const REUSED_LOGS_MAX: usize = 2;
const WAL_OCTETS_MAX: u64 = 64 * MIB;
const INFO_LOG_OCTETS_MAX: usize = MIB as usize;
const INFO_LOGS_MAX: usize = 4;
const MANIFEST_OCTETS_MAX: usize = 4 * MIB as usize;
const BACKGROUND_JOBS_MAX: i32 = 2;

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            block_cache_octets: 16 * MIB as usize,
            write_buffer_octets: 16 * MIB as usize,
            sync: true,
            blob_octets_min: 1024,
            blob_compression: Compression::Lz4,
            open_files_max: 256,
        }
    }
}

impl RocksOptions {
    pub(super) fn database(&self, cache: &Cache) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        self.set_memory(&mut options, cache);
        self.set_files(&mut options);
        set_logs(&mut options);
        options.set_max_background_jobs(BACKGROUND_JOBS_MAX);
        // There is one writer: what serves many at once only costs.
        options.set_allow_concurrent_memtable_write(false);
        options.set_enable_write_thread_adaptive_yield(false);
        // No timers: an idle server sleeps.
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_skip_stats_update_on_db_open(true);
        options
    }

    fn set_memory(&self, options: &mut Options, cache: &Cache) {
        options.set_write_buffer_size(self.write_buffer_octets);
        options.set_max_write_buffer_number(WRITE_BUFFERS_MAX);
        // Most keys that are asked for aren't there, which this says without a search of what was written last.
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(MEMTABLE_FILTER_SHARE);
        options.set_level_zero_file_num_compaction_trigger(NEW_TABLES_MAX);
        options.set_max_open_files(self.open_files_max);
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        table.set_block_size(BLOCK_OCTETS);
        table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
        table.set_optimize_filters_for_memory(true);
        // Indexes and filters are cut into blocks too and live in the cache, so that a large
        // database takes no more memory than a small one.
        table.set_cache_index_and_filter_blocks(true);
        table.set_cache_index_and_filter_blocks_with_high_priority(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        options.set_block_based_table_factory(&table);
    }

    fn set_files(&self, options: &mut Options) {
        // What is merged often is packed fast; most of a large database is below that.
        let mut levels = [DBCompressionType::Zstd; LEVELS];
        levels[..FAST_LEVELS].fill(DBCompressionType::Lz4);
        options.set_compression_per_level(&levels);
        options.set_compression_options(
            ZSTD_WINDOW_BITS,
            ZSTD_LEVEL,
            ZSTD_STRATEGY,
            ZSTD_DICTIONARY_OCTETS,
        );
        options.set_enable_blob_files(true);
        options.set_min_blob_size(self.blob_octets_min);
        options.set_blob_file_size(BLOB_FILE_OCTETS);
        options.set_blob_compression_type(match self.blob_compression {
            Compression::None => DBCompressionType::None,
            Compression::Lz4 => DBCompressionType::Lz4,
            Compression::Zstd => DBCompressionType::Zstd,
        });
        // When, `garbage` says.
        options.set_enable_blob_gc(true);
        options.set_blob_gc_age_cutoff(0.0);
        options.set_blob_gc_force_threshold(GARBAGE_OF_FILE_MAX);
        options.set_bytes_per_sync(MIB);
        options.set_avoid_unnecessary_blocking_io(true);
        options.set_is_fd_close_on_exec(true);
    }
}

fn set_logs(options: &mut Options) {
    // A torn record at the end is what a crash leaves behind: it was not acknowledged.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_max_total_wal_size(WAL_OCTETS_MAX);
    // To write over what is there changes no inode, which a sync would have to write as well. Each record says of which log it is, and
    // recovery to a point in time goes by that (RocksDB #12403).
    options.set_recycle_log_file_num(REUSED_LOGS_MAX);
    options.set_max_manifest_file_size(MANIFEST_OCTETS_MAX);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(INFO_LOG_OCTETS_MAX);
    options.set_keep_log_file_num(INFO_LOGS_MAX);
}
