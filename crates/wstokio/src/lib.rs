//! wstokio
