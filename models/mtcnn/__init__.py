"""RNet and ONet of the face detector MTCNN, with 100 images of faces and 100 of other things."""
