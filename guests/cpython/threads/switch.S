# The shadow stack pointer is a wasm global that C cannot name.

	.globaltype	__stack_pointer, i32
	.functype	coop_thread_main (i32) -> ()
	.functype	coop_fiber_main (i32) -> ()

	.text
	.globl	coop_get_stack_pointer
	.hidden	coop_get_stack_pointer
	.type	coop_get_stack_pointer,@function
coop_get_stack_pointer:
	.functype	coop_get_stack_pointer () -> (i32)
	global.get	__stack_pointer
	end_function

	.globl	coop_set_stack_pointer
	.hidden	coop_set_stack_pointer
	.type	coop_set_stack_pointer,@function
coop_set_stack_pointer:
	.functype	coop_set_stack_pointer (i32) -> ()
	local.get	0
	global.set	__stack_pointer
	end_function

# What thread.new-indirect calls: the argument is a struct __pthread, whose first word is the top
# of its shadow stack. No C code may run before the stack pointer is set.
	.globl	coop_thread_entry
	.hidden	coop_thread_entry
	.type	coop_thread_entry,@function
coop_thread_entry:
	.functype	coop_thread_entry (i32) -> ()
	local.get	0
	i32.load	0
	global.set	__stack_pointer
	local.get	0
	call	coop_thread_main
	end_function

# The same for a fiber that a thread makes: the argument is a struct coop_fiber.
	.globl	coop_fiber_entry
	.hidden	coop_fiber_entry
	.type	coop_fiber_entry,@function
coop_fiber_entry:
	.functype	coop_fiber_entry (i32) -> ()
	local.get	0
	i32.load	0
	global.set	__stack_pointer
	local.get	0
	call	coop_fiber_main
	end_function
