# What an exception of C++ is thrown and caught as. The compiler takes it to be defined by the library that unwinds.
	.globl	__cpp_exception
	.tagtype	__cpp_exception i32
__cpp_exception:
