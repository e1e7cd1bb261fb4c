/* The crate onig_sys declares Oniguruma's tables without `extern` for this target, and then has each of them many times. */
#undef ONIG_EXTERN
#define ONIG_EXTERN extern
