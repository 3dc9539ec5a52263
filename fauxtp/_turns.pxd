cdef object current_task(object loop)
cdef object swap(object loop, object task)
