"""Learning on the annotated frames before or while a video is segmented."""
