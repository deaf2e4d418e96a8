"""Operations without weights."""
