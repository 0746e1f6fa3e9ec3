"""A plain camera as a source of skeletons: pictures, MediaPipe's pose, and where the people stand."""
