//! Segments, interrupt stacks and the interrupt table.

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::{lidt, load_tss};
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

use super::lock::Once;
use super::stack::{Ist, interrupt_stacks};
use super::trap;

/// An interrupt gate (AMD64 manual, volume 2, 4.8.4).
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct InterruptGate {
    offset_low: u16,
    selector: u16,
    ist: u8,
    kind: u8,
    offset_middle: u16,
    offset_high: u32,
    reserved: u32,
}

const _: () = assert!(size_of::<InterruptGate>() == 16);

impl InterruptGate {
    /// A gate that turns interrupts off.
    fn new(handler: u64, code: SegmentSelector, ist: Ist) -> Self {
        InterruptGate {
            offset_low: handler as u16,
            selector: code.0,
            ist: ist as u8 + 1,
            // Present, privilege 0, 64-bit interrupt gate.
            kind: 0x8e,
            offset_middle: (handler >> 16) as u16,
            offset_high: (handler >> 32) as u32,
            reserved: 0,
        }
    }
}

const GATES: usize = trap::UPCALL_VECTOR as usize + 1;

static TSS: Once<TaskStateSegment> = Once::new();
static GDT: Once<GlobalDescriptorTable> = Once::new();
static IDT: Once<[InterruptGate; GATES]> = Once::new();

/// Loads all three tables.
pub(super) fn set_up() {
    let mut tss = TaskStateSegment::new();
    // By assignment of the whole: the structure is packed.
    let mut tops = [VirtAddr::zero(); 7];
    for (top, stack) in tops.iter_mut().zip(interrupt_stacks()) {
        *top = VirtAddr::new(stack.memory.end);
    }
    tss.interrupt_stack_table = tops;
    let tss = TSS.set(tss);

    let mut gdt = GlobalDescriptorTable::new();
    let code = gdt.append(Descriptor::kernel_code_segment());
    let data = gdt.append(Descriptor::kernel_data_segment());
    let task = gdt.append(Descriptor::tss_segment(tss));
    GDT.set(gdt).load();

    let mut gates = [InterruptGate::default(); GATES];
    for (gate, vector) in gates.iter_mut().zip(0..trap::EXCEPTIONS) {
        let ist = match vector {
            2 => Ist::NonMaskable,
            8 => Ist::DoubleFault,
            18 => Ist::MachineCheck,
            _ => Ist::Exception,
        };
        *gate = InterruptGate::new(trap::exception_stub(vector), code, ist);
    }
    gates[trap::UPCALL_VECTOR as usize] =
        InterruptGate::new(trap::upcall_stub(), code, Ist::Upcall);
    let gates = IDT.set(gates);

    let pointer = DescriptorTablePointer {
        limit: (size_of_val(gates) - 1) as u16,
        base: VirtAddr::new(gates.as_ptr() as u64),
    };
    // SAFETY: the selectors are of the table just loaded; all tables live forever; the gates lead
    // to stubs that keep to the processor's conventions, on stacks of their own.
    unsafe {
        CS::set_reg(code);
        SS::set_reg(data);
        DS::set_reg(data);
        ES::set_reg(data);
        load_tss(task);
        lidt(&pointer);
    }
}
