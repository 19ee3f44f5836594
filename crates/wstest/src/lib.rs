//! wstest
