"""Running a method over a video into a folder, resumable, with its record and traces."""
