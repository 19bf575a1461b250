//! Data sets: shipped, generated, read from files, downloaded.
