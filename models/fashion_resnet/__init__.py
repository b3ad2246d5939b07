"""A residual network trained on Fashion-MNIST, committed; its 10,000 test images come out of a package of Debian."""
